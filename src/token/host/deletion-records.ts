// What the token itself says of keys that may be destroyed: a data object for each deletion, made when it is scheduled and destroyed when
// it is cancelled. A key's own object is never written after it was made: a token may lose what it rewrites.
import { ckaIdBytes } from '../calls.js';
import { meaningOf } from './ckr.js';
import { RequestFault } from './fault.js';
import type { ObjectHandle, TokenSession } from './session.js';
import { recordSearch, recordTemplate } from './template.js';

/** First in each record's value, then the time, then the CKA_IDs. */
const kind = Buffer.from('hsmbdel1');

/** Of one key. Each but one was left by a call that failed or lost a race, until the deletion is carried out or cancelled. */
const mostRecords = 64;

interface DeletionRecord {
  readonly object: ObjectHandle;
  readonly value: Buffer;
}

export class DeletionRecords {
  readonly #session: TokenSession;
  readonly #supported: boolean;
  /** Those in the token; undefined until they are first asked for. */
  #records: DeletionRecord[] | undefined;

  constructor(session: TokenSession, supported: boolean) {
    this.#session = session;
    this.#supported = supported;
  }

  /** For when the session was replaced: handles are looked for again. */
  forget(): void {
    this.#records = undefined;
  }

  /**
   * False when the token keeps no records. Earlier ones stay: of two calls that schedule at once, the one whose time stands in no row must
   * not take the other's away. The oldest goes when there are too many.
   */
  schedule(ckaIds: readonly Buffer[], dueAtMs: number): boolean {
    if (!this.#supported) return false;
    const value = valueOf(ckaIds, dueAtMs);
    const earlier = this.#of(ckaIds);
    if (earlier.some((record) => record.value.equals(value) && this.#says(record.object, value))) return true;
    const [oldest] = earlier;
    if (oldest !== undefined && earlier.length >= mostRecords) this.#destroy(oldest);
    const { library, handle } = this.#session;
    const label = `hsm-bridge deletion ${new Date(dueAtMs).toISOString()}`;
    const object = library.C_CreateObject(handle, recordTemplate(label, value));
    // SoftHSMv2 reports success when its disk is full.
    if (!this.#says(object, value)) throw new RequestFault('internal', 'the token did not keep the record');
    this.#records?.push({ object, value });
    return true;
  }

  cancel(ckaIds: readonly Buffer[]): void {
    if (!this.#supported) return;
    for (const record of this.#of(ckaIds)) this.#destroy(record);
  }

  /** Does a record of the token, read now, say `dueAtMs` for all of them? */
  confirms(ckaIds: readonly Buffer[], dueAtMs: number): boolean {
    if (!this.#supported) return false;
    return this.#of(ckaIds).some(({ object, value }) => {
      if (!this.#says(object, value)) return false;
      return value.subarray(kind.length).indexOf(timeOf(dueAtMs)) === 0 && ckaIds.every((id) => covers(value, id));
    });
  }

  #says(object: ObjectHandle, value: Buffer): boolean {
    try {
      return this.#session.valueOf(object).equals(value);
    } catch (error) {
      if (meaningOf(error).lost === 'handle') return false;
      throw error;
    }
  }

  #of(ckaIds: readonly Buffer[]): DeletionRecord[] {
    this.#records ??= this.#read();
    return this.#records.filter(({ value }) => ckaIds.some((id) => covers(value, id)));
  }

  #read(): DeletionRecord[] {
    const records = this.#session.find(recordSearch());
    return records
      .map((object) => ({ object, value: this.#session.valueOf(object) }))
      .filter(({ value }) => value.subarray(0, kind.length).equals(kind));
  }

  #destroy(record: DeletionRecord): void {
    this.#session.destroy(record.object);
    this.#records = this.#records?.filter((other) => other !== record);
  }
}

const timeBytes = 8;
const headBytes = kind.length + timeBytes;

function timeOf(dueAtMs: number): Buffer {
  const bytes = Buffer.alloc(timeBytes);
  bytes.writeBigUInt64BE(BigInt(dueAtMs));
  return bytes;
}

const valueOf = (ckaIds: readonly Buffer[], dueAtMs: number): Buffer =>
  Buffer.concat([kind, timeOf(dueAtMs), ...ckaIds]);

function covers(value: Buffer, ckaId: Buffer): boolean {
  if (ckaId.length !== ckaIdBytes || (value.length - headBytes) % ckaIdBytes !== 0) return false;
  for (let at = headBytes; at < value.length; at += ckaIdBytes) {
    if (value.subarray(at, at + ckaIdBytes).equals(ckaId)) return true;
  }
  return false;
}
