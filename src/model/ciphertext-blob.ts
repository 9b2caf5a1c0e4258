// The symmetric ciphertext's format, version 1. The header is bound into the AAD, so no byte of a blob can change unnoticed.
//
//   offset  size  field
//   0       1     version = 1
//   1       1     strategy (how the token sealed it: `strategies`)
//   2       16    key material id (first 16 of its 32 bytes; the CKA_ID of the object in the token)
//   18      4     check: first 4 bytes of SHA-256 over bytes 0..17
//   22      12    IV                      (NIST SP 800-38D §8.2.2, from the token's random generator)
//   34      n     ciphertext, then the 16-byte tag
//
// The check tells a damaged header (InvalidCiphertext) from a sound one that names a key the caller may not know of; it is no secret.
import { hash } from 'node:crypto';
import { canonicalContext, type EncryptionContext } from './encryption-context.js';

export const strategies = { 'gcm-host-iv': 1 } as const;
export type Strategy = keyof typeof strategies;

export const headerBytes = 22;
export const ivBytes = 12;
export const tagBytes = 16;
export const materialIdBytes = 16;

const version = 1;
const checkBytes = 4;
const aadDomain = Buffer.from('hsm-bridge/aad/v1\0');

export interface CiphertextParts {
  readonly strategy: Strategy;
  /** CKA_ID of the backing key, 16 bytes. */
  readonly materialId: Buffer;
  readonly header: Buffer;
  /** IV ‖ ciphertext ‖ tag, as the token takes it. */
  readonly sealed: Buffer;
}

/** The 22 header bytes for one backing key: the same for each of its ciphertexts, so callers may keep it. */
export function ciphertextHeader(strategy: Strategy, materialId: Buffer): Buffer {
  if (materialId.length !== materialIdBytes) throw new RangeError('a material id has 16 bytes');
  const head = Buffer.concat([Buffer.of(version, strategies[strategy]), materialId]);
  return Buffer.concat([head, headerCheck(head)]);
}

/** Additional authenticated data: SHA-256(domain ‖ header ‖ canonical encryption context), 32 bytes. */
export function ciphertextAad(header: Buffer, context: EncryptionContext): Buffer {
  return hash('sha256', Buffer.concat([aadDomain, header, canonicalContext(context)]), 'buffer');
}

/** Splits a blob without copying; undefined when it is not one of ours or its header was damaged. */
export function parseCiphertext(blob: Buffer): CiphertextParts | undefined {
  if (blob.length < headerBytes + ivBytes + tagBytes || blob[0] !== version) return undefined;
  const head = blob.subarray(0, headerBytes - checkBytes);
  if (!headerCheck(head).equals(blob.subarray(headerBytes - checkBytes, headerBytes))) return undefined;
  const strategy = strategyOf(blob[1]);
  if (strategy === undefined) return undefined;
  return {
    strategy,
    materialId: blob.subarray(2, 2 + materialIdBytes),
    header: blob.subarray(0, headerBytes),
    sealed: blob.subarray(headerBytes),
  };
}

function headerCheck(head: Buffer): Buffer {
  return hash('sha256', head, 'buffer').subarray(0, checkBytes);
}

function strategyOf(code: number | undefined): Strategy | undefined {
  return (Object.keys(strategies) as Strategy[]).find((name) => strategies[name] === code);
}
