// The blob's header and the context's canonical form: injective, order-free, and damage is seen.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ciphertextAad, ciphertextHeader, headerBytes, parseCiphertext } from '../../../src/model/ciphertext-blob.js';
import { canonicalContext } from '../../../src/model/encryption-context.js';

const materialId = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');

describe('encryption context', () => {
  it('does not depend on the order of its pairs', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(fc.string(), fc.string()), { selector: ([name]) => name }), (pairs) => {
        const forward = canonicalContext(Object.fromEntries(pairs));
        expect(canonicalContext(Object.fromEntries([...pairs].reverse()))).toEqual(forward);
      }),
    );
  });

  it('gives different contexts different bytes', () => {
    expect(canonicalContext({ a: 'bc' })).not.toEqual(canonicalContext({ ab: 'c' }));
    expect(canonicalContext({ a: '1', b: '2' })).not.toEqual(canonicalContext({ a: '1b2' }));
    expect(canonicalContext({ A: '1' })).not.toEqual(canonicalContext({ a: '1' }));
  });

  it('has the documented bytes', () => {
    expect(canonicalContext({ 서비스: 'a' }).toString('hex')).toBe('00000009ec849cebb984ec8aa40000000161');
  });
});

describe('ciphertext blob', () => {
  const header = ciphertextHeader('gcm-host-iv', materialId);

  it('has the documented header', () => {
    const head = Buffer.concat([Buffer.of(1, 1), materialId]);
    const check = createHash('sha256').update(head).digest().subarray(0, 4);
    expect(header).toEqual(Buffer.concat([head, check]));
  });

  it('binds header and context into the AAD', () => {
    const aad = createHash('sha256')
      .update('hsm-bridge/aad/v1\0')
      .update(header)
      .update(canonicalContext({ a: 'b' }))
      .digest();
    expect(ciphertextAad(header, { a: 'b' })).toEqual(aad);
  });

  it('reads back its parts', () => {
    const sealed = Buffer.alloc(40, 7);
    const parts = parseCiphertext(Buffer.concat([header, sealed]));
    expect(parts?.strategy).toBe('gcm-host-iv');
    expect(parts?.materialId).toEqual(materialId);
    expect(parts?.sealed).toEqual(sealed);
  });

  it('refuses each one-bit change of the header and each truncation', () => {
    const blob = Buffer.concat([header, Buffer.alloc(28)]);
    for (let bit = 0; bit < headerBytes * 8; bit++) {
      const changed = Buffer.from(blob);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(parseCiphertext(changed)).toBeUndefined();
    }
    for (let length = 0; length < blob.length; length++)
      expect(parseCiphertext(blob.subarray(0, length))).toBeUndefined();
  });

  it('survives any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6144 }), (bytes) => {
        expect(parseCiphertext(Buffer.from(bytes))).toBeUndefined();
      }),
    );
  });
});
