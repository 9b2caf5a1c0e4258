// The one login of a process's life. What may have cost the PIN an attempt is noted first, so that no restart, of the host or of the
// whole daemon, makes it two: tokens count refusals and lock, or erase themselves.
import { closeSync, fstatSync, openSync, readFileSync, statSync, type BigIntStats } from 'node:fs';
import pkcs11 from 'pkcs11js';
import { Secret } from '../../kernel/secret.js';
import { ckrName, isPinRefusal, leavesPinAlone } from './ckr.js';
import { StartFault } from './fault.js';
import {
  dropNote,
  findNote,
  forgetNotes,
  noteBegun,
  notePath,
  noteRefused,
  type Attempt,
  type FileIdentity,
  type Note,
} from './login-note.js';
import type { ChosenToken } from './module.js';
import { pause } from './pause.js';
import type { Profile } from './profile.js';

export interface LoginOptions {
  /** The security officer logs in to set a new token's user PIN, and never in service. */
  readonly as: 'user' | 'security-officer';
  readonly pinFile: string;
  readonly notesFolder: string;
  /** Of whose default key store it is the token: early notes are about those. */
  readonly region: string | undefined;
  /** The daemon made the token and drew its PIN: an attempt more does no harm, so only a refusal is noted. */
  readonly ours: boolean;
}

/** How long to wait before another look at a login that another host is making. It has the supervisor's deadline for a start, as we do. */
const lookAgainMs = 20;

/**
 * Reads the PIN (one line, mode 0600) and logs in; waits while another host makes the same login, for whose outcome counts here too.
 * Throws StartFault `pin-file` for a file that is none, `wrong-pin` for a PIN the token refuses now or may have refused before,
 * `home-unwritable` when nothing can be noted; return values that say that the PIN was not looked at as they come.
 */
export function login(
  library: pkcs11.PKCS11,
  session: Buffer,
  token: ChosenToken,
  options: LoginOptions,
  profile: Profile,
): void {
  const { as, pinFile, notesFolder, region, ours } = options;
  const obstacle = as === 'user' ? pinObstacle(token.flags) : undefined;
  const { attempt, pin } = claim(options, token.serial, obstacle, profile);
  try {
    library.C_Login(session, as === 'user' ? pkcs11.CKU_USER : pkcs11.CKU_SO, pin.reveal());
  } catch (error) {
    if (ckrName(error) !== 'CKR_USER_ALREADY_LOGGED_IN') throw judged(error, { pinFile, notesFolder, ours }, attempt);
  }
  forgetNotes(notesFolder, attempt, region);
}

/** The attempt that is this process's to make: nobody else makes it, or has made it in vain. */
function claim(
  { as, pinFile, notesFolder, ours }: LoginOptions,
  serial: string,
  obstacle: string | undefined,
  profile: Profile,
): { attempt: Attempt; pin: Secret<string> } {
  for (;;) {
    const attempt: Attempt = { as, serial, pinFile, file: identityOf(pinFile, statOf(pinFile)) };
    const note = findNote(notesFolder, attempt);
    if (note?.underWay === true && !ours) {
      pause(lookAgainMs);
      continue;
    }
    requireUntried(pinFile, note, ours);
    if (obstacle !== undefined) throw new StartFault('wrong-pin', `the PIN in ${pinFile} is not tried: ${obstacle}`);
    if (ours) return { attempt, pin: readPin(pinFile, profile) };
    const { pin, file } = readPinFile(pinFile, profile);
    // A file that was changed between the two looks is another attempt.
    if (file.ino !== attempt.file.ino || file.mtimeNs !== attempt.file.mtimeNs || file.size !== attempt.file.size)
      continue;
    if (noteBegun(notesFolder, attempt)) return { attempt, pin };
  }
}

function requireUntried(pinFile: string, note: Note | undefined, ours: boolean): void {
  if (note?.state === 'refused') {
    const remedy = `correct the file, it is not tried again (if it is right by now, delete ${note.path})`;
    throw new StartFault('wrong-pin', `the token has refused the PIN in ${pinFile}: ${remedy}`);
  }
  if (note?.state === 'begun' && !ours) {
    throw new StartFault(
      'login-unclear',
      `a login with the PIN in ${pinFile} was begun and never ended: ${check(pinFile, note.path)}`,
    );
  }
}

/** What a failed C_Login means for the PIN, noted before it is thrown. */
function judged(
  error: unknown,
  { pinFile, notesFolder, ours }: Pick<LoginOptions, 'pinFile' | 'notesFolder' | 'ours'>,
  attempt: Attempt,
): unknown {
  const name = ckrName(error) ?? 'no return value';
  if (isPinRefusal(error)) {
    const noted = noteRefusal(notesFolder, attempt) ? '' : ' (this could not be noted)';
    const message = `the token refuses the PIN in ${pinFile} (${name})${noted}: correct the file, it is not tried again`;
    return new StartFault('wrong-pin', message, { cause: error });
  }
  if (ours) return error;
  if (leavesPinAlone(error)) {
    dropNote(notesFolder, attempt);
    return error;
  }
  const message = `a login with the PIN in ${pinFile} ended with ${name}, which does not say whether it counts: `;
  return new StartFault('login-unclear', message + check(pinFile, notePath(notesFolder, attempt)), { cause: error });
}

/** False when the disk does not take it. The supervisor's breaker holds, and after it what was noted as begun. */
function noteRefusal(notesFolder: string, attempt: Attempt): boolean {
  try {
    noteRefused(notesFolder, attempt);
    return true;
  } catch {
    return false;
  }
}

/** Nothing else waits for this thread: a host serves nobody before its login. */
const check = (pinFile: string, noteFile: string): string =>
  `check the PIN's counter with the vendor's tool, then touch ${pinFile} or delete ${noteFile}`;

/** Why a login must not even be tried, from CK_TOKEN_INFO.flags (PKCS#11 v2.40 §3.3). */
export function pinObstacle(flags: number): string | undefined {
  if ((flags & pkcs11.CKF_USER_PIN_INITIALIZED) === 0) return 'the token has no user PIN yet; set it first';
  if ((flags & pkcs11.CKF_USER_PIN_LOCKED) !== 0) return 'the token says its user PIN is locked';
  if ((flags & pkcs11.CKF_USER_PIN_FINAL_TRY) !== 0) {
    return 'the token says one more wrong PIN locks it; log in once with the vendor’s own tool first';
  }
  return undefined;
}

function statOf(pinFile: string): BigIntStats {
  try {
    return statSync(pinFile, { bigint: true });
  } catch (error) {
    throw unreadable(pinFile, error);
  }
}

function identityOf(pinFile: string, stats: BigIntStats): FileIdentity {
  if (!stats.isFile()) throw new StartFault('pin-file', `the PIN file ${pinFile} is not a regular file`);
  if ((stats.mode & 0o077n) !== 0n) {
    throw new StartFault('pin-file', `the PIN file ${pinFile} is open to others: chmod 600 ${pinFile}`);
  }
  return { ino: String(stats.ino), mtimeNs: String(stats.mtimeNs), size: String(stats.size) };
}

const unreadable = (pinFile: string, error: unknown): StartFault =>
  new StartFault('pin-file', `the PIN file ${pinFile} cannot be read`, { cause: error });

/** The PIN as the string C_Login takes; the bytes it came from are overwritten. StartFault `pin-file` when it cannot be a PIN. */
export const readPin = (pinFile: string, profile: Profile): Secret<string> => readPinFile(pinFile, profile).pin;

/** The PIN, and the identity of what it was read from. */
function readPinFile(pinFile: string, profile: Profile): { pin: Secret<string>; file: FileIdentity } {
  let bytes: Buffer;
  let stats: BigIntStats;
  // Anything but a regular file might keep this process waiting.
  identityOf(pinFile, statOf(pinFile));
  try {
    const descriptor = openSync(pinFile, 'r');
    try {
      stats = fstatSync(descriptor, { bigint: true });
      bytes = readFileSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw unreadable(pinFile, error);
  }
  const file = identityOf(pinFile, stats);
  const pin = bytes.toString().replace(/\r?\n$/, '');
  const length = Buffer.byteLength(pin);
  bytes.fill(0);
  const { minBytes, maxBytes, pattern } = profile.pin;
  if (length < minBytes || length > maxBytes || !new RegExp(pattern, 'u').test(pin)) {
    throw new StartFault(
      'pin-file',
      `${pinFile} does not hold one PIN of ${minBytes} to ${maxBytes} bytes on one line`,
    );
  }
  return { pin: new Secret(pin), file };
}
