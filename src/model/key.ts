// A KMS key as the daemon knows it: metadata and the names of its backing keys. The material itself is in the token and nowhere else.
import { keyArn } from '../kernel/arn.js';
import type { Strategy } from './ciphertext-blob.js';
import type { KeySpec, KeyUsage } from './key-specs.js';
import type { KeyStoreRef } from './key-store.js';

/** AWS's KeyState, as far as keys made in the token can reach it. */
export type KeyState = 'Creating' | 'Enabled' | 'Disabled' | 'PendingDeletion' | 'Unavailable';

export interface Tag {
  readonly TagKey: string;
  readonly TagValue: string;
}

/** One generation of a key's material. */
export interface BackingKey {
  /** KeyMaterialId, 64 hex digits. Its first 16 bytes are the object's CKA_ID and stand in each ciphertext. */
  readonly materialId: string;
  /** Undefined when it makes no ciphertexts of ours. */
  readonly strategy?: Strategy | undefined;
  readonly createdAtMs: number;
}

export interface KeyRef {
  readonly region: string;
  readonly accountId: string;
  readonly keyId: string;
}

/** All generations of its material, an announced one too, are in the one key store that it names: a deletion is recorded in one token, or in none. */
export interface Key extends KeyRef, KeyStoreRef {
  /** `deleting`: its day has come and its material is being destroyed, which nobody can cancel any more. */
  readonly status: 'creating' | 'enabled' | 'disabled' | 'pendingDeletion' | 'deleting';
  /** Set by the reconcile after a start when the token no longer holds an object of this key; the key then shows as Unavailable. */
  readonly materialMissing: boolean;
  readonly spec: KeySpec;
  readonly usage: KeyUsage;
  readonly description: string;
  readonly createdAtMs: number;
  readonly deletionAtMs: number | undefined;
  /** The key policy's text, as its author wrote it. */
  readonly policy: string;
  readonly tags: readonly Tag[];
  /** Oldest first; the last one encrypts. Empty only while `status` is creating. */
  readonly backingKeys: readonly BackingKey[];
  /** Material that is being generated: written before the object, cleared after it. Crash recovery starts from it. */
  readonly pendingMaterialId: string | undefined;
  /** The gateway's life that is generating it: it is settled by others only when that life is over. */
  readonly life: string;
}

export interface Alias {
  readonly region: string;
  readonly accountId: string;
  /** Begins with `alias/`. */
  readonly aliasName: string;
  readonly keyId: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

const arns = new WeakMap<KeyRef, string>();

/** The key's ARN, made once for each object. */
export function arnOfKey(key: KeyRef): string {
  let arn = arns.get(key);
  if (arn === undefined) {
    arn = keyArn(key.region, key.accountId, key.keyId);
    arns.set(key, arn);
  }
  return arn;
}

export function keyState(key: Key): KeyState {
  if (key.status === 'creating') return 'Creating';
  if (key.status === 'pendingDeletion' || key.status === 'deleting') return 'PendingDeletion';
  if (key.materialMissing) return 'Unavailable';
  return key.status === 'enabled' ? 'Enabled' : 'Disabled';
}

export function currentBackingKey(key: Key): BackingKey {
  const current = key.backingKeys.at(-1);
  if (current === undefined) throw new Error(`key ${key.keyId} has no backing key`);
  return current;
}

/** The object's CKA_ID: the first 16 bytes of the material id. */
export const ckaIdOf = (materialId: string): Buffer => Buffer.from(materialId.slice(0, 32), 'hex');
