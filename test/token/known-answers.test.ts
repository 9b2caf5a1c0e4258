// The host's cryptography, in this process on a real token, against node:crypto: keys of known value go in as session objects.
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import pkcs11, { type PKCS11 } from 'pkcs11js';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { macAlgorithms } from '../../src/model/key-specs.js';
import type { TokenKind } from '../../src/model/token-key.js';
import { Cipher } from '../../src/token/host/cipher.js';
import { StartFault } from '../../src/token/host/fault.js';
import { TokenError } from '../../src/token/host/cryptoki.js';
import { finalize, type LoadedModule } from '../../src/token/host/module.js';
import { algorithms, kinds } from '../../src/token/host/kinds.js';
import { selfTest } from '../../src/token/host/probe.js';
import type { Profile } from '../../src/token/host/profile.js';
import type { TokenSession } from '../../src/token/host/session.js';
import { knownKeyTemplate } from '../../src/token/host/template.js';
import { logIn } from './logged-in.js';
import { SoftStore } from './soft-token.js';

let store: SoftStore;
let module: LoadedModule;
let session: TokenSession;
let profile: Profile;
let cipher: Cipher;
type BrokenCall =
  | 'C_GetAttributeValue'
  | 'C_WrapKey'
  | 'C_SetAttributeValue'
  | 'C_CopyObject'
  | 'C_Encrypt'
  | 'C_Decrypt'
  | 'C_Sign'
  | 'C_GenerateRandom';

let realGetAttributeValue: PKCS11['C_GetAttributeValue'];

beforeAll(() => {
  store = new SoftStore().initialise();
  ({ module, session, profile } = logIn(store));
  cipher = new Cipher(session, profile);
  realGetAttributeValue = module.pkcs11.C_GetAttributeValue.bind(module.pkcs11);
});

afterAll(async () => {
  finalize(module);
  await store.remove();
});

const bytes = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array));
const message = fc.uint8Array({ maxLength: 4096 }).map((array) => Buffer.from(array));

function imported(kind: TokenKind, value: Buffer): Buffer {
  return session.library.C_CreateObject(session.handle, knownKeyTemplate(kinds[kind], value));
}

describe('AES-256-GCM', () => {
  it('seals what node:crypto opens, with an IV of its own', () => {
    fc.assert(
      fc.property(bytes(32), bytes(32), message, (value, aad, plaintext) => {
        const key = imported('AES_256', value);
        const sealed = Buffer.alloc(plaintext.length + 28);
        cipher.seal(key, aad, plaintext, sealed);
        session.destroy(key);
        const other = createDecipheriv('aes-256-gcm', value, sealed.subarray(0, 12)).setAAD(aad);
        other.setAuthTag(sealed.subarray(-16));
        expect(Buffer.concat([other.update(sealed.subarray(12, -16)), other.final()])).toEqual(plaintext);
      }),
      { numRuns: 50 },
    );
  });

  it('opens what node:crypto sealed', () => {
    fc.assert(
      fc.property(bytes(32), bytes(32), message, (value, aad, plaintext) => {
        const iv = randomBytes(12);
        const other = createCipheriv('aes-256-gcm', value, iv).setAAD(aad);
        const sealed = Buffer.concat([iv, other.update(plaintext), other.final(), other.getAuthTag()]);
        const key = imported('AES_256', value);
        const out = Buffer.alloc(sealed.length);
        const length = cipher.open(key, aad, sealed, out);
        session.destroy(key);
        expect(out.subarray(0, length)).toEqual(plaintext);
      }),
      { numRuns: 50 },
    );
  });

  it('says invalidCiphertext for another tag, and the session stays usable', () => {
    const key = imported('AES_256', randomBytes(32));
    const sealed = Buffer.alloc(48);
    cipher.seal(key, Buffer.alloc(32), Buffer.alloc(20), sealed);
    sealed.writeUInt8(sealed.readUInt8(47) ^ 0x80, 47);
    const open = (): number => cipher.open(key, Buffer.alloc(32), sealed, Buffer.alloc(48));
    for (let i = 0; i < 3; i++) expect(open).toThrow(TokenError);
    expect(session.isLoggedIn()).toBe(true);
  });
});

describe('HMAC-SHA-256', () => {
  it('is the one of node:crypto', () => {
    fc.assert(
      fc.property(bytes(32), message, (value, data) => {
        const key = imported('HMAC_256', value);
        const mac = Buffer.alloc(32);
        cipher.mac(algorithms.HMAC_SHA_256, key, data, mac);
        session.destroy(key);
        expect(mac).toEqual(createHmac('sha256', value).update(data).digest());
      }),
      { numRuns: 50 },
    );
  });
});

describe('the self-test', () => {
  it('passes, and leaves nothing in the token', () => {
    expect(selfTest(session, profile)).toEqual(['AES_256_GCM', ...macAlgorithms]);
    expect(store.asUser('--list-objects')).not.toContain('Object');
  });

  // A token that breaks one promise: the real one, with one call answered by the test.
  const broken: readonly (readonly [promise: string, call: BrokenCall, answer: (...args: never[]) => unknown])[] = [
    ['values stay inside', 'C_GetAttributeValue', leak],
    ['non-extractable keys are not wrapped', 'C_WrapKey', () => Buffer.alloc(40)],
    ['attributes stay', 'C_SetAttributeValue', () => undefined],
    ['copies are no way round', 'C_CopyObject', () => Buffer.alloc(8)],
    ['GCM is GCM', 'C_Encrypt', (_: Buffer, input: Buffer) => Buffer.alloc(input.length + 16)],
    ['tags are checked', 'C_Decrypt', (_: Buffer, input: Buffer, out: Buffer) => out.subarray(0, input.length - 16)],
    ['HMAC is HMAC', 'C_Sign', (_: Buffer, __: Buffer, out: Buffer) => out],
    ['random is random', 'C_GenerateRandom', (_: Buffer, out: Buffer) => out.fill(1)],
  ];

  it('passes on a token that answers a changed tag with PKCS#11’s own value', () => {
    const real = module.pkcs11.C_Decrypt.bind(module.pkcs11);
    const spy = vi
      .spyOn(module.pkcs11, 'C_Decrypt')
      .mockImplementation((handle: Buffer, input: Buffer, out: Buffer) => {
        try {
          return real(handle, input, out);
        } catch {
          throw Object.assign(new Error('CKR_ENCRYPTED_DATA_INVALID'), { code: 0x40 });
        }
      });
    try {
      selfTest(session, { ...profile, answers: [] });
      expect(spy.mock.results.filter(({ type }) => type === 'throw')).toHaveLength(2);
    } finally {
      spy.mockRestore();
    }
  });

  it.each(broken)('refuses a token where this does not hold: %s', (_, call, answer) => {
    const spy = vi.spyOn(module.pkcs11, call).mockImplementation(answer as never);
    try {
      expect(() => selfTest(session, profile)).toThrow(StartFault);
    } finally {
      spy.mockRestore();
      session.replace();
    }
  });
});

/** Lets the value out, and answers every other query truthfully. */
function leak(handle: Buffer, object: Buffer, template: { type: number }[]): unknown {
  if (template.length === 1 && template[0]?.type === pkcs11.CKA_VALUE) return [{ value: Buffer.alloc(32, 1) }];
  return realGetAttributeValue(handle, object, template);
}
