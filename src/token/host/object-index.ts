// CKA_ID → handles of the objects in the token, of whatever kind, so that a key's first use searches nothing: one search lists the handles, and their
// CKA_IDs are read in slices between which requests are served. What is not in it is looked for rarely, and never twice at a time.
import type { MonotonicClock } from '../../kernel/clock.js';
import { ckaIdBytes } from '../calls.js';
import { saysAbsent } from './ckr.js';
import { OrderedNames } from './ordered-names.js';
import type { ObjectHandle, TokenSession } from './session.js';

/** A request whose key may be among the handles that are still to be read: it is performed again when `awaited` was read, or all were. */
export class NotReadYet extends Error {
  /** A name, `anyName` when all must be read, or `nextTurn`. */
  readonly awaited: string;

  constructor(awaited: string) {
    super('the index is being read');
    this.awaited = awaited;
  }
}

/** A CKA_ID as it stands in the index. */
export const nameOf = (ckaId: Buffer): string => ckaId.toString('latin1');
export const anyName = '';
/** Of a request that waits for nothing but its turn: no CKA_ID is as short. */
export const nextTurn = 'next';
/** Keys that are first used in one turn: that takes some attribute calls each, and others wait meanwhile. */
export const firstUsesPerTurn = 2;

/** Some milliseconds at most: others wait meanwhile, and a token behind a network takes a millisecond for each. */
const handlesPerSlice = 16;
const sliceMs = 5;
/** How long it is remembered that the token has no such key, and how old a list of handles may be. */
const trustMs = 1000;
const maxAbsent = 1000;
/** A search for a single key takes SoftHSMv2 22 µs for each object: searching takes this part of the time at most. */
const searchShare = 1 / 20;

/** What performing a request takes of it; a thread has another (thread-index.ts). */
export type KeyIndex = Pick<ObjectIndex, 'find' | 'has' | 'add' | 'drop' | 'isReachable' | 'recheck' | 'page'>;

type Searches = Pick<TokenSession, 'findObjects' | 'ckaIdOf'>;

export class ObjectIndex {
  readonly #session: Searches;
  readonly #clock: MonotonicClock;
  readonly #handles = new Map<string, ObjectHandle[]>();
  /** Names by handle, in hex; `anyName` for what has no CKA_ID. */
  readonly #names = new Map<string, string>();
  /** Those names that can be the daemon's. */
  readonly #ordered = new OrderedNames();
  #unread: ObjectHandle[] = [];
  readonly #absentUntilMs = new Map<string, number>();
  #searchAgainAtMs = 0;
  #listedAtMs = -Infinity;

  constructor(session: Searches, clock: MonotonicClock) {
    this.#session = session;
    this.#clock = clock;
  }

  /** Searches for these at once, and lists the handles of all others to be read. */
  start(first: readonly Buffer[]): void {
    for (const ckaId of first) for (const handle of this.#session.findObjects(ckaId)) this.add(ckaId, handle);
    this.#list();
  }

  /** Reads some CKA_IDs; gives their names, and `anyName` when none is left. Empty when there was nothing to read. */
  readSlice(): string[] {
    if (this.#unread.length === 0) return [];
    const names: string[] = [];
    const endMs = this.#clock.monotonicMs() + sliceMs;
    for (let read = 0; read < handlesPerSlice && (read === 0 || this.#clock.monotonicMs() < endMs); read += 1) {
      const handle = this.#unread.pop();
      if (handle === undefined) break;
      const ckaId = this.#ckaIdOf(handle);
      if (ckaId === undefined || ckaId.length === 0) {
        this.#names.set(handle.toString('hex'), anyName);
        continue;
      }
      this.add(ckaId, handle);
      names.push(nameOf(ckaId));
    }
    if (this.#unread.length === 0) names.push(anyName);
    return names;
  }

  /** Handles of the keys with this CKA_ID. NotReadYet while it may be among those that are still to be read. */
  find(ckaId: Buffer): readonly ObjectHandle[] {
    const name = nameOf(ckaId);
    const known = this.#handles.get(name);
    if (known !== undefined) return known;
    if (this.#unread.length > 0) throw new NotReadYet(name);
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#searchAgainAtMs || nowMs < (this.#absentUntilMs.get(name) ?? 0)) return [];
    for (const handle of this.#session.findObjects(ckaId)) this.add(ckaId, handle);
    const found = this.#handles.get(name);
    const endMs = this.#clock.monotonicMs();
    this.#searchAgainAtMs = endMs + (endMs - nowMs) / searchShare;
    if (found !== undefined) return found;
    if (this.#absentUntilMs.size >= maxAbsent) this.#absentUntilMs.clear();
    this.#absentUntilMs.set(name, endMs + trustMs);
    return [];
  }

  has(ckaId: Buffer): boolean {
    return this.#handles.has(nameOf(ckaId));
  }

  add(ckaId: Buffer, handle: ObjectHandle): void {
    const [name, key] = [nameOf(ckaId), handle.toString('hex')];
    if (this.#names.has(key)) return;
    this.#names.set(key, name);
    this.#absentUntilMs.delete(name);
    const same = this.#handles.get(name);
    if (same !== undefined) {
      same.push(handle);
      return;
    }
    this.#handles.set(name, [handle]);
    if (ckaId.length === ckaIdBytes) this.#ordered.add(name);
  }

  /** For when the key was destroyed, or its handle is no longer one. */
  drop(ckaId: Buffer): void {
    const name = nameOf(ckaId);
    for (const handle of this.#handles.get(name) ?? []) this.#names.delete(handle.toString('hex'));
    this.#handles.delete(name);
    this.#ordered.delete(name);
  }

  /** Of any key that the token had. */
  get one(): ObjectHandle | undefined {
    const [first] = this.#handles.values();
    return first?.[0];
  }

  /** Can a key that the token had be read still? True when it had none. */
  isReachable(): boolean {
    const { one } = this;
    return one === undefined || this.#ckaIdOf(one) !== undefined;
  }

  /** After the session was replaced: a library whose handles ended with it is listed anew. */
  recheck(): void {
    if (this.isReachable()) return;
    this.#handles.clear();
    this.#names.clear();
    this.#ordered.clear();
    this.#list();
  }

  /**
   * The first `limit` CKA_IDs of 16 bytes after `after`, in the order of their bytes. A first page is from a list of handles that is a second
   * old at most; the others go on in that list. NotReadYet while some are to be read.
   */
  page(after: Buffer | undefined, limit: number): Buffer[] {
    const isOld = this.#clock.monotonicMs() - this.#listedAtMs > trustMs;
    if (after === undefined && this.#unread.length === 0 && isOld) this.#list();
    if (this.#unread.length > 0) throw new NotReadYet(anyName);
    const names = this.#ordered.after(after === undefined ? undefined : nameOf(after), limit);
    return names.map((name) => Buffer.from(name, 'latin1'));
  }

  /** Forgets the handles that are gone; those that are new are read in slices. */
  #list(): void {
    const listed = new Map(this.#session.findObjects().map((handle) => [handle.toString('hex'), handle]));
    for (const [key, name] of [...this.#names]) {
      if (listed.has(key)) continue;
      if (name === anyName) this.#names.delete(key);
      else this.drop(Buffer.from(name, 'latin1'));
    }
    this.#unread = [...listed].filter(([key]) => !this.#names.has(key)).map(([, handle]) => handle);
    this.#listedAtMs = this.#clock.monotonicMs();
  }

  /** Undefined when the object is gone, or has none. */
  #ckaIdOf(handle: ObjectHandle): Buffer | undefined {
    try {
      return this.#session.ckaIdOf(handle);
    } catch (error) {
      if (saysAbsent(error)) return undefined;
      throw error;
    }
  }
}
