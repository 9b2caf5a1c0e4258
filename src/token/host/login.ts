// The one login of a process's life. A PIN the token refused is remembered beside its file, so that no restart, of the host or of the
// whole daemon, offers it again: tokens count refusals and lock, or erase themselves.
import { readFileSync, rmSync, statSync, type BigIntStats } from 'node:fs';
import pkcs11 from 'pkcs11js';
import { ckrName, isPinRefusal } from './ckr.js';
import { writeDurably } from './durable-file.js';
import { StartFault } from './fault.js';
import type { ChosenToken } from './module.js';
import type { Profile } from './profile.js';

/** Which content of the file was refused, without a trace of the content itself. */
interface FileIdentity {
  readonly ino: string;
  readonly mtimeNs: string;
  readonly size: string;
}

export const refusalMarker = (pinFile: string): string => `${pinFile}.refused`;

export interface LoginOptions {
  /** The security officer logs in to set a new token's user PIN, and never in service. */
  readonly as: 'user' | 'security-officer';
  readonly pinFile: string;
}

/**
 * Reads the PIN (one line, mode 0600) and logs in. Throws StartFault `pin-file` for a file that is none, `wrong-pin` for a PIN the
 * token refuses now or has refused before; other return values as they come.
 */
export function login(
  library: pkcs11.PKCS11,
  session: Buffer,
  token: ChosenToken,
  { as, pinFile }: LoginOptions,
  profile: Profile,
): void {
  const identity = pinFileIdentity(pinFile);
  if (wasRefused(pinFile, identity)) {
    const message = `the token has refused the PIN in ${pinFile}: correct the file, it is not tried again`;
    throw new StartFault('wrong-pin', message);
  }
  const obstacle = as === 'user' ? pinObstacle(token.flags) : undefined;
  if (obstacle !== undefined) throw new StartFault('wrong-pin', `the PIN in ${pinFile} is not tried: ${obstacle}`);
  const pin = readPin(pinFile, profile);
  try {
    library.C_Login(session, as === 'user' ? pkcs11.CKU_USER : pkcs11.CKU_SO, pin);
  } catch (error) {
    const name = ckrName(error);
    if (name === 'CKR_USER_ALREADY_LOGGED_IN') return;
    if (!isPinRefusal(error)) throw error;
    const noted = noteRefusal(pinFile, identity) ? '' : ' (this could not be noted beside it)';
    const message = `the token refuses the PIN in ${pinFile} (${name ?? ''})${noted}: correct the file, it is not tried again`;
    throw new StartFault('wrong-pin', message, { cause: error });
  }
}

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

function wasRefused(pinFile: string, identity: FileIdentity): boolean {
  let noted: string;
  try {
    noted = readFileSync(refusalMarker(pinFile), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw new StartFault('pin-file', `${refusalMarker(pinFile)} cannot be read`, { cause: error });
  }
  if (noted === JSON.stringify(identity)) return true;
  // Another file now: the note is about a PIN nobody will try.
  rmSync(refusalMarker(pinFile), { force: true });
  return false;
}

function noteRefusal(pinFile: string, identity: FileIdentity): boolean {
  try {
    writeDurably(refusalMarker(pinFile), JSON.stringify(identity));
    return true;
  } catch {
    return false;
  }
}
