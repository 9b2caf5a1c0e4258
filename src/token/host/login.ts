// The one login of a process's life. What may have cost the PIN an attempt is noted first, so that no restart, of the host or of the
// whole daemon, makes it two: tokens count refusals and lock, or erase themselves.
import { readFileSync, statSync, type BigIntStats } from 'node:fs';
import pkcs11 from 'pkcs11js';
import { ckrName, isPinRefusal, leavesPinAlone } from './ckr.js';
import { StartFault } from './fault.js';
import { readNote, removeNote, writeNote, type FileIdentity } from './login-note.js';
import type { ChosenToken } from './module.js';
import type { Profile } from './profile.js';

export interface LoginOptions {
  /** The security officer logs in to set a new token's user PIN, and never in service. */
  readonly as: 'user' | 'security-officer';
  readonly pinFile: string;
  readonly noteFile: string;
  /** The daemon made the token and drew its PIN: an attempt more does no harm, so only a refusal is noted. */
  readonly ours: boolean;
}

/**
 * Reads the PIN (one line, mode 0600) and logs in. Throws StartFault `pin-file` for a file that is none, `wrong-pin` for a PIN the
 * token refuses now or may have refused before, `home-unwritable` when nothing can be noted; return values that say that the PIN was
 * not looked at as they come.
 */
export function login(
  library: pkcs11.PKCS11,
  session: Buffer,
  token: ChosenToken,
  options: LoginOptions,
  profile: Profile,
): void {
  const { as, pinFile, noteFile, ours } = options;
  const identity = pinFileIdentity(pinFile);
  requireUntried(options, identity);
  const obstacle = as === 'user' ? pinObstacle(token.flags) : undefined;
  if (obstacle !== undefined) throw new StartFault('wrong-pin', `the PIN in ${pinFile} is not tried: ${obstacle}`);
  const pin = readPin(pinFile, profile);
  if (!ours) writeNote(noteFile, 'begun', identity);
  try {
    library.C_Login(session, as === 'user' ? pkcs11.CKU_USER : pkcs11.CKU_SO, pin);
  } catch (error) {
    if (ckrName(error) !== 'CKR_USER_ALREADY_LOGGED_IN') throw judged(error, options, identity);
  }
  removeNote(noteFile);
}

function requireUntried({ pinFile, noteFile, ours }: LoginOptions, identity: FileIdentity): void {
  const noted = readNote(noteFile, identity);
  if (noted === 'refused') {
    const remedy = `correct the file, it is not tried again (if it is right by now, delete ${noteFile})`;
    throw new StartFault('wrong-pin', `the token has refused the PIN in ${pinFile}: ${remedy}`);
  }
  if (noted === 'begun' && !ours) {
    throw new StartFault(
      'login-unclear',
      `a login with the PIN in ${pinFile} was begun and never ended: ${check(pinFile, noteFile)}`,
    );
  }
}

/** What a failed C_Login means for the PIN, noted before it is thrown. */
function judged(error: unknown, { pinFile, noteFile, ours }: LoginOptions, identity: FileIdentity): unknown {
  const name = ckrName(error) ?? 'no return value';
  if (isPinRefusal(error)) {
    const noted = noteRefusal(noteFile, identity) ? '' : ' (this could not be noted)';
    const message = `the token refuses the PIN in ${pinFile} (${name})${noted}: correct the file, it is not tried again`;
    return new StartFault('wrong-pin', message, { cause: error });
  }
  if (leavesPinAlone(error)) removeNote(noteFile);
  else if (!ours) {
    const message = `a login with the PIN in ${pinFile} ended with ${name}, which does not say whether it counts: `;
    return new StartFault('login-unclear', message + check(pinFile, noteFile), { cause: error });
  }
  return error;
}

/** False when the disk does not take it. The supervisor's breaker holds, and after it what was noted as begun. */
function noteRefusal(noteFile: string, identity: FileIdentity): boolean {
  try {
    writeNote(noteFile, 'refused', identity);
    return true;
  } catch {
    return false;
  }
}

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

function pinFileIdentity(pinFile: string): FileIdentity {
  let stats: BigIntStats;
  try {
    stats = statSync(pinFile, { bigint: true });
  } catch (error) {
    throw new StartFault('pin-file', `the PIN file ${pinFile} cannot be read`, { cause: error });
  }
  if (!stats.isFile()) throw new StartFault('pin-file', `the PIN file ${pinFile} is not a regular file`);
  if ((stats.mode & 0o077n) !== 0n) {
    throw new StartFault('pin-file', `the PIN file ${pinFile} is open to others: chmod 600 ${pinFile}`);
  }
  return { ino: String(stats.ino), mtimeNs: String(stats.mtimeNs), size: String(stats.size) };
}

/** The PIN as the string C_Login takes; the bytes it came from are overwritten. StartFault `pin-file` when it cannot be a PIN. */
export function readPin(pinFile: string, profile: Profile): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(pinFile);
  } catch (error) {
    throw new StartFault('pin-file', `the PIN file ${pinFile} cannot be read`, { cause: error });
  }
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
  return pin;
}
