// The table of return values against the OASIS header that pkcs11js is compiled with, and against the shapes of pkcs11js's errors.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  ckrName,
  ckrOf,
  ckrTable,
  isPinRefusal,
  leavesPinAlone,
  meaningOf,
  meaningsOf,
  type CkrMeaning,
  type VendorAnswer,
} from '../../../src/token/host/ckr.js';
import { functions, TokenError, type CkFunction } from '../../../src/token/host/cryptoki.js';
import { loadProfile } from '../../../src/token/host/profile.js';

const includes = 'node_modules/pkcs11js/includes';

function header(): Map<string, number> {
  const path = readdirSync(includes, { recursive: true, encoding: 'utf8' }).find((file) => file.endsWith('pkcs11t.h'));
  if (path === undefined) throw new Error('pkcs11js comes without pkcs11t.h');
  const defines = readFileSync(join(includes, path), 'latin1').matchAll(/^#define\s+(CKR_\w+)\s+(0x[0-9A-Fa-f]+)/gm);
  return new Map([...defines].map(([, name, code]) => [name!, Number(code)]));
}

const thrown = (message: string, code?: number): Error =>
  Object.assign(new Error(message), code === undefined ? {} : { code });

describe('the table of return values', () => {
  it('has every value of the header, with its number', () => {
    const known = header();
    known.delete('CKR_VENDOR_DEFINED'); // where vendors' own values begin
    expect(known.size).toBeGreaterThan(80);
    expect(Object.fromEntries(Object.entries(ckrTable).map(([name, [code]]) => [name, code]))).toEqual(
      Object.fromEntries(known),
    );
  });

  it('never repeats what concerns a PIN or a login', () => {
    for (const [name, [code, meaning]] of Object.entries(ckrTable)) {
      if (!/_PIN_|_OTP$|NOT_LOGGED_IN/.test(name)) continue;
      expect(meaning.again, name).toBe(false);
      expect(meaningOf(thrown(name, code)).lost, name).toBe('login');
    }
    expect(isPinRefusal(thrown('CKR_PIN_INCORRECT', 0xa0))).toBe(true);
    expect(isPinRefusal(thrown('CKR_PIN_LOCKED', 0xa4))).toBe(true);
    expect(isPinRefusal(thrown('CKR_DEVICE_ERROR', 0x30))).toBe(false);
  });

  it('believes that a PIN was not looked at only where PKCS#11 says so', () => {
    const alone = Object.entries(ckrTable).filter(([name, [code]]) => leavesPinAlone(thrown(name, code)));
    const names = alone.map(([name]) => name);
    expect(names).toEqual(expect.arrayContaining(['CKR_DEVICE_ERROR', 'CKR_TOKEN_NOT_PRESENT', 'CKR_HOST_MEMORY']));
    expect(names.filter((name) => name.startsWith('CKR_PIN_'))).toEqual([]);
    for (const vague of ['CKR_GENERAL_ERROR', 'CKR_FUNCTION_FAILED', 'CKR_FUNCTION_CANCELED', 'CKR_OK']) {
      expect(names).not.toContain(vague);
    }
    for (const unknown of [thrown('CKR_VENDOR_DEFINED', 0x8000_0001), new TypeError('x'), undefined]) {
      expect(leavesPinAlone(unknown)).toBe(false);
    }
  });

  it('repeats only what had no effect', () => {
    const again = Object.entries(ckrTable).filter(([, [, meaning]]) => meaning.again);
    expect(again.map(([name]) => name).sort()).toEqual([
      'CKR_KEY_HANDLE_INVALID',
      'CKR_OBJECT_HANDLE_INVALID',
      'CKR_OPERATION_ACTIVE',
      'CKR_SESSION_CLOSED',
      'CKR_SESSION_HANDLE_INVALID',
      'CKR_UNWRAPPING_KEY_HANDLE_INVALID',
      'CKR_WRAPPING_KEY_HANDLE_INVALID',
    ]);
  });
});

describe('a value from a function', () => {
  const softHsm = loadProfile('native-config/softhsm2.json').answers;
  const gcm = 0x1087;
  const of = (from: CkFunction, code: number, answers: readonly VendorAnswer[] = [], mechanism?: number): CkrMeaning =>
    meaningsOf(answers)(new TokenError(from, mechanism, thrown('CKR_X', code)));
  const data = [
    'C_EncryptInit',
    'C_Encrypt',
    'C_DecryptInit',
    'C_Decrypt',
    'C_SignInit',
    'C_Sign',
    'C_Verify',
  ] as const;
  const making = ['C_GenerateKey', 'C_GenerateKeyPair', 'C_DeriveKey', 'C_UnwrapKey', 'C_CreateObject'] as const;

  it('that callers may provoke makes nobody give the token up before it was asked', () => {
    for (const from of [...data, ...making, 'C_GenerateRandom', 'C_GetAttributeValue', 'C_FindObjects'] as const)
      for (const vague of [0x05, 0x06, 0x30, 0x8000_0000, 0xffff_ffff])
        expect(of(from, vague), from).toMatchObject({ lost: 'nothing', ask: true });
    for (const from of ['C_OpenSession', 'C_GetSessionInfo'] as const)
      for (const vague of [0x30, 0x8000_0000]) expect(of(from, vague).lost).toBe('token');
  });

  it('about what a caller sent costs nothing', () => {
    const input: [CkFunction, number][] = [
      ['C_Encrypt', 0x21],
      ['C_Sign', 0x21],
      ['C_Decrypt', 0x40],
      ['C_Decrypt', 0x41],
      ['C_Verify', 0xc0],
      ['C_Verify', 0xc1],
      ['C_UnwrapKey', 0x110],
      ['C_DeriveKey', 0x71],
      ['C_DeriveKey', 0x130],
      ['C_GenerateKey', 0x31],
      ['C_GetAttributeValue', 0x12],
    ];
    for (const [from, code] of input) {
      const { lost, ask } = of(from, code);
      expect([lost, ask], `${from} ${code}`).toEqual(['nothing', undefined]);
    }
    expect(of('C_Verify', 0xc0).says).toBe('invalidSignature');
    expect(of('C_Decrypt', 0x40).says).toBe('invalidCiphertext');
    expect(of('C_Sign', 0xc0).lost).toBe('session');
  });

  it('is what the profile says of it, for its mechanism, while the token is well', () => {
    expect(of('C_Decrypt', 0x05, softHsm, gcm)).toMatchObject({
      says: 'invalidCiphertext',
      lost: 'nothing',
      ask: true,
    });
    expect(of('C_Decrypt', 0x05, softHsm, 0x1082).says).toBe('internal');
    expect(of('C_Encrypt', 0x05, softHsm, gcm).says).toBe('internal');
    const own = [{ function: 'C_Decrypt', returns: '0x80000001', means: 'invalidCiphertext' }] as const;
    expect(of('C_Decrypt', 0x8000_0001, own)).toMatchObject({ says: 'invalidCiphertext', ask: true });
    expect(of('C_Decrypt', 0x8000_0002, own)).toMatchObject({ says: 'internal', ask: true });
  });

  it('that concerns the token, the session or the login means the same from each', () => {
    for (const from of functions) {
      expect([of(from, 0x32).lost, of(from, 0xe0).lost, of(from, 0x190).lost]).toEqual(['token', 'token', 'token']);
      expect([of(from, 0xb3).lost, of(from, 0x101).lost]).toEqual(['session', 'login']);
    }
  });
});

describe('an error of pkcs11js', () => {
  it('is read from its code, or else from its text', () => {
    expect(ckrOf(thrown('CKR_DEVICE_ERROR', 48))).toBe(48);
    expect(ckrName(thrown('CKR_ATTRIBUTE_READ_ONLY:16'))).toBe('CKR_ATTRIBUTE_READ_ONLY');
    expect(ckrName(thrown('CKR_TEMPLATE_INCOMPLETE:208'))).toBe('CKR_TEMPLATE_INCOMPLETE');
  });

  it('makes the token suspect when it is none that PKCS#11 v2.40 knows', () => {
    expect(ckrName(thrown('CKR_VENDOR_DEFINED', 0x8000_0001))).toBe('0x80000001');
    for (const unknown of [thrown('CKR_VENDOR_DEFINED', 0x8000_0001), new TypeError('x'), 'text', undefined, null]) {
      expect(meaningOf(unknown)).toEqual({ says: 'internal', lost: 'token', again: false });
      expect(meaningsOf([])(unknown).lost).toBe('token');
    }
    // caml-crush answers rv = -1, which arrives as an imprecise number.
    expect(meaningOf(thrown('CKR_VENDOR_DEFINED', 18446744073709551616)).lost).toBe('token');
  });
});
