// What the host does for each call of the table (calls.ts): a call without a handler, or with one of other types, does not compile.
// Buffers that held plaintext are zeroed.
import { timingSafeEqual } from 'node:crypto';
import type { MacAlgorithm } from '../../model/key-specs.js';
import { daemonKeys, type Token } from '../../ports/token.js';
import type { AnswerOf, ArgsOf } from '../calls.js';
import { inPlace } from '../fields.js';
import type { TokenInfo } from '../../model/token-key.js';
import { type Cipher, sealBytes } from './cipher.js';
import type { DeletionRecords } from './deletion-records.js';
import type { KeyHandles } from './handles.js';
import { algorithms, type Mac } from './kinds.js';
import type { KeyObjects } from './objects.js';

/** Gives room for an answer of this many bytes, in the frame that will carry it. */
export type Reserve = (bytes: number) => Buffer;

/** The length of an answer that already lies in the room it reserved: a call that answered with a number could not be told from it. */
export type Written = number;

export interface Handler<M extends keyof Token> {
  /** It adds an object to the token, for which there may be no room; another one has no effect in the token that a second run would double. */
  readonly makes?: true;
  /** After the token refused it and is well: is there what it was to make all the same? If not, the caller is told that nothing was made. */
  readonly isMade?: (args: ArgsOf<M>) => boolean;
  readonly run: (args: ArgsOf<M>, reserve: Reserve) => AnswerOf<M> extends number ? never : AnswerOf<M> | Written;
}

export type Handlers = { readonly [M in keyof Token]: Handler<M> };

export interface TokenParts {
  readonly info: TokenInfo;
  readonly cipher: Cipher;
  readonly keys: Pick<KeyHandles, 'of'>;
  /** Lets go of whatever sessions have of a key. */
  readonly forget: (ckaId: Buffer) => void;
  readonly saidAbsent: (ckaId: Buffer) => void;
  readonly objects: KeyObjects;
  readonly deletions: DeletionRecords;
}

export function createHandlers(parts: TokenParts): Handlers {
  const { info, cipher, keys, forget, objects, deletions } = parts;
  const macs: Readonly<Record<MacAlgorithm, Mac>> = algorithms;
  const rowSeal = algorithms.HMAC_SHA_256;
  const encrypt = (ckaId: Buffer, aad: Buffer, plaintext: Buffer, reserve: Reserve): Written => {
    const bytes = plaintext.length + sealBytes;
    cipher.seal(keys.of('AES_256', ckaId), aad, plaintext, reserve(bytes));
    return bytes;
  };
  return {
    info: { run: () => info },
    generateKey: {
      makes: true,
      isMade: ([ckaId]) => objects.isInToken(ckaId),
      run: ([ckaId, kind]) => objects.generate(ckaId, kind),
    },
    holds: {
      run([ckaId]) {
        const isThere = objects.holds(ckaId);
        if (!isThere) parts.saidAbsent(ckaId);
        return isThere;
      },
    },
    inventory: { run: ([after, limit]) => objects.page(after, limit) },
    scheduleDestruction: { makes: true, run: ([ckaIds, dueAtMs]) => deletions.schedule(ckaIds, dueAtMs) },
    cancelDestruction: { run: ([ckaIds]) => deletions.cancel(ckaIds) },
    destroyScheduled: {
      // The record goes last: what is interrupted is done again, and what is gone needs no record.
      run([ckaIds, dueAtMs]) {
        const found = objects.find(ckaIds);
        if (found.length > 0 && !deletions.confirms(ckaIds, dueAtMs)) return false;
        for (const ckaId of ckaIds) forget(ckaId);
        objects.destroy(ckaIds, found);
        deletions.cancel(ckaIds);
        return true;
      },
    },
    encrypt: { run: ([ckaId, aad, plaintext], reserve) => encrypt(ckaId, aad, plaintext.reveal(), reserve) },
    decrypt: {
      run: ([ckaId, aad, sealed], reserve) =>
        cipher.open(keys.of('AES_256', ckaId), aad, sealed, reserve(sealed.length)),
    },
    reEncrypt: {
      run: ([from, to], reserve) =>
        withScratch(from.sealed.length, (scratch) => {
          const bytes = cipher.open(keys.of('AES_256', from.ckaId), from.aad, from.sealed, scratch);
          return encrypt(to.ckaId, to.aad, scratch.subarray(0, bytes), reserve);
        }),
    },
    generateDataKey: {
      run([ckaId, aad, bytes], reserve) {
        const key = keys.of('AES_256', ckaId);
        let length = 0;
        const [plaintext, sealed] = inPlace((all) => reserve((length = all)), bytes, bytes + sealBytes);
        cipher.sealRandom(key, aad, plaintext, sealed);
        return length;
      },
    },
    generateDataKeyWithoutPlaintext: {
      run([ckaId, aad, bytes], reserve) {
        const key = keys.of('AES_256', ckaId);
        return withScratch(bytes, (scratch) => {
          cipher.sealRandom(key, aad, scratch, reserve(bytes + sealBytes));
          return bytes + sealBytes;
        });
      },
    },
    random: {
      run([bytes], reserve) {
        cipher.random(reserve(bytes));
        return bytes;
      },
    },
    generateMac: {
      run([ckaId, algorithm, message], reserve) {
        const row = macs[algorithm];
        cipher.mac(row, keys.of(row.kind, ckaId), message.reveal(), reserve(row.bytes));
        return row.bytes;
      },
    },
    verifyMac: {
      // Not C_Verify: how long a library takes to compare is its own affair.
      run([ckaId, algorithm, message, mac]) {
        const row = macs[algorithm];
        return withScratch(row.bytes, (expected) => {
          cipher.mac(row, keys.of(row.kind, ckaId), message.reveal(), expected);
          return mac.length === row.bytes && timingSafeEqual(mac, expected);
        });
      },
    },
    createDaemonKeys: { makes: true, run: () => objects.createDaemonKeys() },
    macRow: {
      run([data], reserve) {
        cipher.mac(rowSeal, keys.of(rowSeal.kind, daemonKeys.rowSeal), data, reserve(rowSeal.bytes));
        return rowSeal.bytes;
      },
    },
  };
}

function withScratch<Result>(bytes: number, use: (scratch: Buffer) => Result): Result {
  const scratch = Buffer.alloc(bytes);
  try {
    return use(scratch);
  } finally {
    scratch.fill(0);
  }
}
