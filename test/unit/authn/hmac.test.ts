// The prepared HMAC against RFC 4231's vectors and node:crypto's own.
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { hmacSha256, prepareKey } from '../../../src/authn/hmac.js';

it('gives the digests of RFC 4231', () => {
  const digest = (key: Buffer, message: string) => hmacSha256(prepareKey(key), message).toString('hex');
  expect(digest(Buffer.alloc(20, 0x0b), 'Hi There')).toBe(
    'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
  );
  expect(digest(Buffer.from('Jefe'), 'what do ya want for nothing?')).toBe(
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  );
  expect(digest(Buffer.alloc(131, 0xaa), 'Test Using Larger Than Block-Size Key - Hash Key First')).toBe(
    '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
  );
});

it('agrees with node:crypto', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.string({ maxLength: 300 }), (key, message) => {
      const expected = createHmac('sha256', key).update(message).digest();
      expect(hmacSha256(prepareKey(Buffer.from(key)), message)).toEqual(expected);
    }),
  );
});
