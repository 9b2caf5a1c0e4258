// What each ciphertext of one backing key has in common, computed once: its header and its CKA_ID.
import { BridgeError } from '../kernel/errors.js';
import { ciphertextHeader, type CiphertextParts } from '../model/ciphertext-blob.js';
import { ckaIdOf, type BackingKey, type Key } from '../model/key.js';

interface Material {
  readonly header: Buffer;
  readonly ckaId: Buffer;
}

const materials = new WeakMap<BackingKey, Material>();

export function materialOf(backing: BackingKey): Material {
  let material = materials.get(backing);
  if (material === undefined) {
    const ckaId = ckaIdOf(backing.materialId);
    material = { ckaId, header: ciphertextHeader(backing.strategy, ckaId) };
    materials.set(backing, material);
  }
  return material;
}

/** The generation of `key` that made the ciphertext. IncorrectKeyException when none did. */
export function openable(key: Key, parts: CiphertextParts): BackingKey {
  const backing = key.backingKeys.find((candidate) => materialOf(candidate).ckaId.equals(parts.materialId));
  if (backing === undefined) {
    throw new BridgeError(
      'IncorrectKeyException',
      'The key ID in the request does not identify a CMK that can perform this operation.',
    );
  }
  return backing;
}
