// A key store's token, in the KMS's terms. Implemented over IPC by src/token/client.ts; a simulation may bring another.
// Every call can fail with BridgeError: DependencyTimeout (deadline passed; the effect is unknown), KMSInternal (token host away or token
// suspect), KeyUnavailable (no key of the right kind with that CKA_ID), DaemonKeyMissing, InvalidCiphertext (tag does not match). Nothing is retried here.
import { BridgeError } from '../kernel/errors.js';
import type { Secret } from '../kernel/secret.js';
import type { MacAlgorithm } from '../model/key-specs.js';
import type { KeyStoreRef } from '../model/key-store.js';
import type { TokenInfo, TokenKind } from '../model/token-key.js';

/** The token refused to make a key, and certainly made nothing: it may be full. The caller hears KMSInternalException. */
export class NothingMade extends BridgeError {
  constructor() {
    super('KMSInternalException', 'The token did not make the key.');
  }
}

/** The token does not hold one of the daemon's own keys. No caller has to do with it: it hears KMSInternalException. */
export class DaemonKeyMissing extends BridgeError {
  constructor() {
    super('KMSInternalException', undefined, { cause: new Error('the token does not hold the daemon’s own keys') });
  }
}

/** IV ‖ ciphertext ‖ tag. */
export type Sealed = Buffer;

export interface Token {
  info(): Promise<TokenInfo>;
  /**
   * CKA_SENSITIVE, not CKA_EXTRACTABLE, with the usage of its kind and no other; attributes read back. `ckaId`: 16 bytes, unused.
   * NothingMade when that is certain; after any other error the key may be there.
   */
  generateKey(ckaId: Buffer, kind: TokenKind): Promise<void>;
  /**
   * Is there an object with this CKA_ID, of whatever kind? One that is being made is waited for; after a no, none of this CKA_ID is made any more
   * by the same token host (NothingMade), whoever had asked for it before.
   */
  holds(ckaId: Buffer): Promise<boolean>;
  /**
   * Records in the token that these keys may be destroyed once `dueAtMs` has come; it takes the place of what was recorded of them
   * before. False: this token cannot keep such a record, so that none of its keys is ever destroyed.
   */
  scheduleDestruction(ckaIds: readonly Buffer[], dueAtMs: number): Promise<boolean>;
  /** Removes that record. No error when there is none. */
  cancelDestruction(ckaIds: readonly Buffer[]): Promise<void>;
  /**
   * Destroys every object with one of these CKA_IDs, which may be gone already, and the record: the only call that destroys. False, and
   * nothing is destroyed, when the token has no record that says `dueAtMs` for each of them.
   */
  destroyScheduled(ckaIds: readonly Buffer[], dueAtMs: number): Promise<boolean>;
  /**
   * The first `limit` (1..8192) CKA_IDs of 16 bytes in the token that come after `after`, in the order of their bytes, each once however many
   * objects have it, the daemon's own left out. Undefined: from the first. Fewer than `limit`: there are no more.
   */
  inventory(after: Buffer | undefined, limit: number): Promise<readonly Buffer[]>;
  /** AES-256-GCM, IV from the token. `aad`: 32 bytes. */
  encrypt(ckaId: Buffer, aad: Buffer, plaintext: Secret<Buffer>): Promise<Sealed>;
  decrypt(ckaId: Buffer, aad: Buffer, sealed: Sealed): Promise<Secret<Buffer>>;
  /** Decrypts and encrypts again without the plaintext leaving the token host. */
  reEncrypt(from: { ckaId: Buffer; aad: Buffer; sealed: Sealed }, to: { ckaId: Buffer; aad: Buffer }): Promise<Sealed>;
  /** `bytes` (1..1024) of the token's randomness, and the same sealed. */
  generateDataKey(ckaId: Buffer, aad: Buffer, bytes: number): Promise<{ plaintext: Secret<Buffer>; sealed: Sealed }>;
  generateDataKeyWithoutPlaintext(ckaId: Buffer, aad: Buffer, bytes: number): Promise<Sealed>;
  /** The message's MAC under a key of the algorithm's kind (FIPS 198-1), as long as its hash. */
  generateMac(ckaId: Buffer, algorithm: MacAlgorithm, message: Secret<Buffer>): Promise<Buffer>;
  /** Is it that MAC? Compared in constant time where the key is; a MAC of another length is none. */
  verifyMac(ckaId: Buffer, algorithm: MacAlgorithm, message: Secret<Buffer>, mac: Buffer): Promise<boolean>;
  /** 1..1024 bytes from the token's generator. */
  random(bytes: number): Promise<Secret<Buffer>>;
  /** Makes the daemon's own keys (`daemonKeys`), or finishes what a crash left half made. Fails when both are there. */
  createDaemonKeys(): Promise<void>;
  /** HMAC-SHA-256 under the daemon's row-seal key: 32 bytes. */
  macRow(data: Buffer): Promise<Buffer>;
}

/** CKA_IDs of the keys the daemon owns in each token: invisible to users ("AWS owned keys"). `encrypt`/`decrypt` take `secrets`. */
export const daemonKeys = {
  /** HMAC-SHA-256 over rows of the store. */
  rowSeal: Buffer.from('hsmb-row-seal-01'),
  /** AES-256 that wraps access keys' secrets. */
  secrets: Buffer.from('hsmb-secrets--01'),
} as const;

export const isDaemonKey = (ckaId: Buffer): boolean => Object.values(daemonKeys).some((own) => own.equals(ckaId));

/** What the daemon asks of a token for itself: its own keys, seals of its rows, upkeep. */
export const theDaemon: unique symbol = Symbol('the daemon');

/** Whose turn a call takes: that of the account whose call of the API it serves, by its id, or the daemon's own. */
export type Asker = string | typeof theDaemon;

export interface Tokens {
  /**
   * The token of a key store, for one asker: no other one's calls can keep its calls waiting for longer than their share, nor fill its room.
   * The token host is started when its token is first used. Throws KMSInternalException for a key store that is not configured (any more).
   */
  of(keyStore: KeyStoreRef, asker: Asker): Token;
  /** Those that are configured, in the order in which new keys go to them: the default one first. None in a Region that is not served. */
  keyStoresOf(region: string): readonly KeyStoreRef[];
}
