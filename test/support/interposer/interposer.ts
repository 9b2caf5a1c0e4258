// A module of a test's own between a token host and SoftHSM (interposer.c), and what it is told to do to the host's calls, also while they run.
import { closeSync, copyFileSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';

const built = resolve('.setup/interposer.so');
const header = resolve('node_modules/pkcs11js/includes/pkcs11/pkcs11f.h');

/** In the order of the header, as `enum function` has them. */
const functions = [...readFileSync(header, 'utf8').matchAll(/CK_PKCS11_FUNCTION_INFO\((\w+)\)/g)].map(
  ([, name]) => name,
);

/** `struct control`: offsets in bytes. */
const targetBytes = 512;
const switches = {
  sessionCap: 512,
  lostSessions: 516,
  isLost: 520,
  gcm: 524,
  maxIdBytes: 528,
  refusedAttribute: 532,
  tokenObjectsOnly: 536,
  released: 540,
  openSessions: 544,
  openedSessions: 548,
  lostUpTo: 552,
  rsaBits: 556,
} as const;
const rowsAt = 1024;
const rowBytes = 32;
/** `struct row`. */
const members = {
  delayUs: 0,
  error: 4,
  errors: 8,
  errorIsAfter: 12,
  hangs: 16,
  calls: 20,
  inFlight: 24,
  mostInFlight: 28,
} as const;

export type Quirk =
  /** Sessions that may be open; the next one is refused with CKR_SESSION_COUNT. 0: any number. */
  | 'sessionCap'
  /** CKA_IDs may be so long. 0: any length. */
  | 'maxIdBytes'
  /** An attribute's number: a template that has it is refused. 0: none. */
  | 'refusedAttribute'
  /** 1: no session objects. */
  | 'tokenObjectsOnly'
  /** C_GenerateKey first makes an RSA key pair of so many bits, and throws it away. 0: it does not. */
  | 'rsaBits';

/** How AES-GCM works: as in SoftHSM; the token writes its own IV over the caller's zeroes; it appends its own 16 bytes; not at all. */
export const gcmWays = ['as-is', 'writes-iv', 'appends-iv', 'absent'] as const;

export interface Failure {
  /** CKR number. */
  readonly error: number;
  /** How many calls fail; Infinity: all, until `mend`. */
  readonly times?: number;
  /** The call is made, and its answer is lost. */
  readonly isAfter?: boolean;
}

/** Numbers that are written are in force at once, in every process that has this module. */
export class Interposer {
  readonly modulePath: string;
  readonly #file: number;
  #released = 0;

  /** In `folder`, in front of the module `target`. */
  constructor(folder: string, target: string) {
    this.modulePath = join(folder, 'interposer.so');
    copyFileSync(built, this.modulePath);
    this.#file = openSync(`${this.modulePath}.control`, 'w+', 0o600);
    const control = Buffer.alloc(rowsAt + functions.length * rowBytes);
    if (control.write(target) >= targetBytes) throw new RangeError(`the path is too long: ${target}`);
    writeSync(this.#file, control, 0, control.length, 0);
  }

  close(): void {
    closeSync(this.#file);
  }

  /** Each call takes so much longer. */
  delay(name: string, ms: number): void {
    this.#write(name, 'delayUs', Math.round(ms * 1000));
  }

  fail(name: string, { error, times = 1, isAfter = false }: Failure): void {
    this.#write(name, 'errors', 0);
    this.#write(name, 'error', error | 0);
    this.#write(name, 'errorIsAfter', isAfter ? 1 : 0);
    this.#write(name, 'errors', times === Infinity ? -1 : times);
  }

  /** The next calls do not return before `release`. */
  hang(name: string, times = 1): void {
    this.#write(name, 'hangs', times);
  }

  release(): void {
    this.#set('released', ++this.#released);
  }

  /** This function neither waits, fails nor hangs any more; what hangs goes on hanging. */
  mend(name: string): void {
    for (const member of ['delayUs', 'errors', 'hangs'] as const) this.#write(name, member, 0);
  }

  /** Of the sessions that are open, the next `count` that are used become invalid, one after the other and for good. */
  loseSessions(count: number): void {
    this.#set('lostUpTo', this.#read(switches.openedSessions));
    this.#set('lostSessions', count);
  }

  /** True: all calls answer CKR_DEVICE_ERROR from now on. False: they go on doing so until the library is initialised anew. */
  loseToken(isLost: boolean): void {
    this.#set('isLost', isLost ? 1 : 0);
  }

  gcm(way: (typeof gcmWays)[number]): void {
    this.#set('gcm', gcmWays.indexOf(way));
  }

  quirk(name: Quirk, value: number): void {
    this.#set(name, value);
  }

  /** How often the function was called, in all processes. */
  calls(name: string): number {
    return this.#read(this.#at(name, 'calls'));
  }

  /** Most calls of it that were under way at once. */
  mostInFlight(name: string): number {
    return this.#read(this.#at(name, 'mostInFlight'));
  }

  get openSessions(): number {
    return this.#read(switches.openSessions);
  }

  #at(name: string, member: keyof typeof members): number {
    const row = functions.indexOf(name);
    if (row < 0) throw new RangeError(`${name} is no function of PKCS#11`);
    return rowsAt + row * rowBytes + members[member];
  }

  #write(name: string, member: keyof typeof members, value: number): void {
    this.#writeAt(this.#at(name, member), value);
  }

  #set(name: keyof typeof switches, value: number): void {
    this.#writeAt(switches[name], value);
  }

  #writeAt(offset: number, value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    writeSync(this.#file, bytes, 0, 4, offset);
  }

  #read(offset: number): number {
    const bytes = Buffer.alloc(4);
    readSync(this.#file, bytes, 0, 4, offset);
    return bytes.readInt32LE();
  }
}
