// What the ciphertexts of one backing key have in common, computed once: header, CKA_ID, and the AAD of an empty encryption context.
import { BridgeError } from '../kernel/errors.js';
import { ciphertextAad, ciphertextHeader, type CiphertextParts } from '../model/ciphertext-blob.js';
import type { EncryptionContext } from '../model/encryption-context.js';
import { ckaIdOf, currentBackingKey, type BackingKey, type Key } from '../model/key.js';
import type { Services } from './define.js';

export class Material {
  readonly backing: BackingKey;
  readonly ckaId: Buffer;
  readonly header: Buffer;
  readonly #emptyAad: Buffer;

  constructor(backing: BackingKey) {
    this.backing = backing;
    this.ckaId = ckaIdOf(backing.materialId);
    if (backing.strategy === undefined) throw new Error('this material makes no ciphertexts');
    this.header = ciphertextHeader(backing.strategy, this.ckaId);
    this.#emptyAad = ciphertextAad(this.header, {});
  }

  aad(context: EncryptionContext): Buffer {
    for (const name in context) if (Object.hasOwn(context, name)) return ciphertextAad(this.header, context);
    return this.#emptyAad;
  }
}

const materials = new WeakMap<BackingKey, Material>();

function materialOf(backing: BackingKey): Material {
  let material = materials.get(backing);
  if (material === undefined) {
    material = new Material(backing);
    materials.set(backing, material);
  }
  return material;
}

/** The key with the material that encrypts under it; the message it is for has been counted. */
export async function sealing(services: Services, seen: Key): Promise<{ key: Key; material: Material }> {
  const key = await services.countMessage(seen);
  return { key, material: materialOf(currentBackingKey(key)) };
}

/** The generation of `key` that made the ciphertext. IncorrectKeyException when none did. */
export function opening(key: Key, parts: CiphertextParts): Material {
  const material = key.backingKeys.map(materialOf).find(({ ckaId }) => ckaId.equals(parts.materialId));
  if (material === undefined) throw incorrectKey();
  // Only a strategy that this material never used can differ here.
  if (!material.header.equals(parts.header)) throw new BridgeError('InvalidCiphertextException');
  return material;
}

/** The key that is named made no such ciphertext, or could not. */
export const incorrectKey = (): BridgeError =>
  new BridgeError(
    'IncorrectKeyException',
    'The key ID in the request does not identify a CMK that can perform this operation.',
  );
