// IVs over a token whose generator repeats itself, as one in a machine that was resumed twice does.
import { expect, it } from 'vitest';
import { Cipher } from '../../../src/token/host/cipher.js';
import { loadProfile } from '../../../src/token/host/profile.js';
import type { TokenSession } from '../../../src/token/host/session.js';

/** `drawn`: how many bytes each call of the generator was asked for. */
function resumedCipher(): { cipher: Cipher; drawn: number[] } {
  const drawn: number[] = [];
  const library = {
    C_GenerateRandom: (_: Buffer, out: Buffer) => {
      drawn.push(out.length);
      return out.fill(0x5a);
    },
    C_EncryptInit: () => undefined,
    C_Encrypt: (_: Buffer, plaintext: Buffer, out: Buffer) => out.subarray(0, plaintext.length + 16),
  };
  const session = { library, handle: Buffer.alloc(8) } as unknown as TokenSession;
  return { cipher: new Cipher(session, loadProfile('native-config/softhsm2.json')), drawn };
}

const [key, aad, plaintext] = [Buffer.alloc(8), Buffer.alloc(32), Buffer.alloc(16)];

function ivsOf({ cipher }: { cipher: Cipher }, count: number): string[] {
  return Array.from({ length: count }, () => {
    const out = Buffer.alloc(plaintext.length + 28);
    cipher.seal(key, aad, plaintext, out);
    return out.toString('hex', 0, 12);
  });
}

it('a copy that is resumed does not repeat the IVs of the other, though the token’s generator does', () => {
  const copies = [resumedCipher(), resumedCipher()];
  const ivs = copies.flatMap((copy) => ivsOf(copy, 100));
  expect(new Set(ivs).size).toBe(200);
  const random = copies.map(({ cipher }) => {
    const out = Buffer.alloc(32);
    cipher.random(out);
    return out.toString('hex');
  });
  expect(new Set(random).size).toBe(2);
});

it('no IV is kept for what is read later', () => {
  const copy = resumedCipher();
  ivsOf(copy, 5);
  expect(copy.drawn).toEqual([12, 24, 48]);
  copy.cipher.endTurn();
  ivsOf(copy, 1);
  expect(copy.drawn).toEqual([12, 24, 48, 12]);
});

it('a data key and its IV come in one draw', () => {
  const { cipher, drawn } = resumedCipher();
  cipher.sealRandom(key, aad, Buffer.alloc(32), Buffer.alloc(60));
  expect(drawn).toEqual([44]);
});
