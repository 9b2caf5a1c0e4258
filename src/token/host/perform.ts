// One request after the other, performed on the token. Each is answered exactly once; it runs a second time only when the token
// certainly did nothing the first time; buffers that held plaintext are zeroed.
import { systemClock } from '../../kernel/clock.js';
import { daemonKeys } from '../../ports/token.js';
import { maxPayloadBytes, type FrameWriter } from '../frames.js';
import { ckaIdBytes, isRandomLength, requests, splitCkaIds, statuses, type Request, type Status } from '../wire.js';
import { Cipher, macBytes, sealBytes } from './cipher.js';
import { meaningOf, meaningOfMaking } from './ckr.js';
import { DeletionRecords } from './deletion-records.js';
import { RequestFault, TokenLost } from './fault.js';
import { KeyHandles } from './handles.js';
import { KeyObjects } from './objects.js';
import { NotReadYet, ObjectIndex } from './object-index.js';
import type { Profile } from './profile.js';
import type { TokenSession } from './session.js';

/** Writes its answer into `out` and returns its length; `id` is for answers of more than one frame. */
type Run = (payload: Buffer, out: FrameWriter, id: number) => number | 'malformed';

/** What became of a request: it was answered, makes no sense and gets no answer, or waits for the index and is to be performed again. */
export type Performed = 'answered' | 'malformed' | NotReadYet;

interface Operation {
  readonly run: Run;
  /** `repeatable`: it has no effect in the token that a second run would double. `making`: it adds an object, for which there may be no room. */
  readonly kind: 'repeatable' | 'making';
}

export class Performer {
  readonly #session: TokenSession;
  readonly #cipher: Cipher;
  readonly #index: ObjectIndex;
  readonly #objects: KeyObjects;
  readonly #deletions: DeletionRecords;
  readonly #aesKeys: KeyHandles;
  readonly #macKeys: KeyHandles;
  readonly #operations: readonly (Operation | undefined)[];

  constructor(session: TokenSession, profile: Profile) {
    this.#session = session;
    this.#cipher = new Cipher(session, profile);
    this.#index = new ObjectIndex(session, systemClock);
    this.#objects = new KeyObjects(session, this.#index);
    this.#deletions = new DeletionRecords(session, profile.dataObjects.value);
    const copies = profile.sessionCopies.value;
    this.#aesKeys = new KeyHandles({ session, kind: 'aes-gcm', copies, clock: systemClock, index: this.#index });
    this.#macKeys = new KeyHandles({ session, kind: 'hmac', copies, clock: systemClock, index: undefined });
    this.#operations = this.#table();
    this.#index.start([daemonKeys.secrets]);
  }

  /** To be called when all that was read is performed, before anything else is read. */
  endTurn(): void {
    this.#cipher.endTurn();
    this.#aesKeys.endTurn();
  }

  /** Reads a further part of the token's index; gives what requests may have waited for, and nothing when all is read. */
  readIndex(): readonly string[] {
    try {
      return this.#index.readSlice();
    } catch (error) {
      // Whatever it was: a host that cannot read the token's keys cannot serve them.
      throw new TokenLost('the index cannot be read', { cause: error });
    }
  }

  /** Throws TokenLost, after answering, when the token is lost. */
  perform(id: number, op: number, payload: Buffer, out: FrameWriter): Performed {
    const operation = this.#operations[op];
    if (operation === undefined) return 'malformed';
    for (let repeat = operation.kind === 'repeatable'; ; repeat = false) {
      try {
        const bytes = operation.run(payload, out, id);
        if (bytes === 'malformed') return 'malformed';
        out.commit(id, statuses.ok, bytes);
        return 'answered';
      } catch (error) {
        if (error instanceof NotReadYet) return error;
        try {
          const status = this.#recover(error, operation.kind, repeat);
          if (status === 'again') continue;
          out.commit(id, statuses[status], 0);
          return 'answered';
        } catch (lost) {
          out.commit(id, statuses.internal, 0);
          throw lost;
        }
      }
    }
  }

  /** Makes the session sound again and says what the caller hears. TokenLost when that is not possible. */
  #recover(error: unknown, kind: Operation['kind'], mayRepeat: boolean): Status | 'again' {
    if (error instanceof TokenLost) throw error;
    if (error instanceof RequestFault) return error.status;
    const meaning = kind === 'making' ? meaningOfMaking(error) : meaningOf(error);
    if (meaning.lost === 'token' || meaning.lost === 'login')
      throw new TokenLost('the token is lost', { cause: error });
    if (kind === 'making') this.#requireWell();
    else if (meaning.lost !== 'nothing') this.#replaceSession();
    if (meaning.again && mayRepeat) return 'again';
    if (meaning.hears === 'InvalidCiphertextException') return 'invalidCiphertext';
    return meaning.hears === 'KeyUnavailableException' ? 'keyUnavailable' : 'internal';
  }

  /** After an error that may say nothing of the token: TokenLost, or another error that ends the host, when it is not well. */
  #requireWell(): void {
    this.#session.replace();
    if (!this.#index.isReachable()) throw new TokenLost('the keys of the token cannot be read');
    this.#cipher.random(Buffer.alloc(1));
    this.#replaceSession();
  }

  #replaceSession(): void {
    this.#session.replace();
    this.#aesKeys.forgetAll();
    this.#macKeys.forgetAll();
    this.#deletions.forget();
    this.#index.recheck();
  }

  #table(): readonly (Operation | undefined)[] {
    const table: (Operation | undefined)[] = [];
    const add = <Fields extends readonly Buffer[]>(
      request: Request<Fields>,
      kind: Operation['kind'],
      run: (fields: Fields, out: FrameWriter, id: number) => number | 'malformed',
    ): void => {
      table[request.op] = {
        kind,
        run: (payload, out, id) => {
          const fields = request.split(payload);
          return fields === undefined ? 'malformed' : run(fields, out, id);
        },
      };
    };
    add(requests.info, 'repeatable', (_, out) => this.#info(out));
    add(requests.generateKey, 'making', ([ckaId]) => this.#generateKey(ckaId));
    add(requests.holds, 'repeatable', ([ckaId], out) => yesOrNo(this.#objects.holds(ckaId), out));
    add(requests.scheduleDestruction, 'making', ([dueAt, ids], out) => {
      const ckaIds = splitCkaIds(ids);
      if (ckaIds === undefined) return 'malformed';
      return yesOrNo(this.#deletions.schedule(ckaIds, timeOf(dueAt)), out);
    });
    add(requests.cancelDestruction, 'repeatable', ([ids]) => {
      const ckaIds = splitCkaIds(ids);
      if (ckaIds === undefined) return 'malformed';
      this.#deletions.cancel(ckaIds);
      return 0;
    });
    add(requests.destroyScheduled, 'repeatable', ([dueAt, ids], out) => {
      const ckaIds = splitCkaIds(ids);
      if (ckaIds === undefined) return 'malformed';
      return yesOrNo(this.#destroyScheduled(ckaIds, timeOf(dueAt)), out);
    });
    add(requests.inventory, 'repeatable', (_, out, id) => this.#inventory(out, id));
    add(requests.encrypt, 'repeatable', ([ckaId, aad, plaintext], out) => this.#encrypt(ckaId, aad, plaintext, out));
    add(requests.decrypt, 'repeatable', ([ckaId, aad, sealed], out) => {
      return this.#cipher.open(this.#aesKeys.of(ckaId), aad, sealed, out.reserve(sealed.length));
    });
    add(requests.reEncrypt, 'repeatable', ([fromId, fromAad, toId, toAad, sealed], out) => {
      return withScratch(sealed.length, (scratch) => {
        const bytes = this.#cipher.open(this.#aesKeys.of(fromId), fromAad, sealed, scratch);
        return this.#encrypt(toId, toAad, scratch.subarray(0, bytes), out);
      });
    });
    add(requests.generateDataKey, 'repeatable', ([ckaId, aad, length], out) => this.#dataKey(ckaId, aad, length, out));
    add(requests.generateDataKeyWithoutPlaintext, 'repeatable', ([ckaId, aad, length], out) => {
      const bytes = length.readUInt32BE();
      if (!isRandomLength(bytes)) return 'malformed';
      const key = this.#aesKeys.of(ckaId);
      return withScratch(bytes, (scratch) => {
        this.#cipher.sealRandom(key, aad, scratch, out.reserve(bytes + sealBytes));
        return bytes + sealBytes;
      });
    });
    add(requests.random, 'repeatable', ([length], out) => {
      const bytes = length.readUInt32BE();
      if (!isRandomLength(bytes)) return 'malformed';
      this.#cipher.random(out.reserve(bytes));
      return bytes;
    });
    add(requests.createDaemonKeys, 'making', () => {
      this.#objects.createDaemonKeys();
      return 0;
    });
    add(requests.sealRow, 'repeatable', ([data], out) => {
      this.#cipher.mac(this.#macKeys.of(daemonKeys.rowSeal), data, out.reserve(macBytes));
      return macBytes;
    });
    return table;
  }

  #info(out: FrameWriter): number {
    const { label, serial } = this.#session.token;
    const text = Buffer.from(JSON.stringify({ label, serial }));
    return text.copy(out.reserve(text.length));
  }

  #generateKey(ckaId: Buffer): number {
    try {
      this.#objects.generate(ckaId);
    } catch (error) {
      if (error instanceof RequestFault) throw error;
      const { lost } = meaningOfMaking(error);
      if (lost === 'token' || lost === 'login') throw error;
      this.#requireWell();
      if (!this.#objects.holds(ckaId)) throw new RequestFault('nothingMade', 'the token did not make the key');
      throw new RequestFault('internal', 'the token made the key, and an error of it');
    }
    return 0;
  }

  /** The record goes last: what is interrupted is done again, and what is gone needs no record. */
  #destroyScheduled(ckaIds: readonly Buffer[], dueAtMs: number): boolean {
    const objects = this.#objects.find(ckaIds);
    if (objects.length > 0 && !this.#deletions.confirms(ckaIds, dueAtMs)) return false;
    for (const ckaId of ckaIds) this.#aesKeys.forget(ckaId);
    this.#objects.destroy(ckaIds, objects);
    this.#deletions.cancel(ckaIds);
    return true;
  }

  #inventory(out: FrameWriter, id: number): number {
    const perFrame = Math.floor(maxPayloadBytes / ckaIdBytes);
    const ids = this.#objects.list();
    let at = 0;
    for (; ids.length - at > perFrame; at += perFrame) {
      const part = Buffer.concat(ids.slice(at, at + perFrame));
      part.copy(out.reserve(part.length));
      out.commit(id, statuses.partial, part.length);
    }
    const last = Buffer.concat(ids.slice(at));
    return last.copy(out.reserve(last.length));
  }

  #encrypt(ckaId: Buffer, aad: Buffer, plaintext: Buffer, out: FrameWriter): number {
    const bytes = plaintext.length + sealBytes;
    this.#cipher.seal(this.#aesKeys.of(ckaId), aad, plaintext, out.reserve(bytes));
    return bytes;
  }

  /** The plaintext, then the same sealed: both straight into the frame. */
  #dataKey(ckaId: Buffer, aad: Buffer, length: Buffer, out: FrameWriter): number | 'malformed' {
    const bytes = length.readUInt32BE();
    if (!isRandomLength(bytes)) return 'malformed';
    const key = this.#aesKeys.of(ckaId);
    const room = out.reserve(bytes + bytes + sealBytes);
    this.#cipher.sealRandom(key, aad, room.subarray(0, bytes), room.subarray(bytes));
    return room.length;
  }
}

const timeOf = (field: Buffer): number => Number(field.readBigUInt64BE());

function yesOrNo(answer: boolean, out: FrameWriter): number {
  out.reserve(1)[0] = answer ? 1 : 0;
  return 1;
}

function withScratch<Result>(bytes: number, use: (scratch: Buffer) => Result): Result {
  const scratch = Buffer.alloc(bytes);
  try {
    return use(scratch);
  } finally {
    scratch.fill(0);
  }
}
