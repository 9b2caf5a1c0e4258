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
  meaningOfMaking,
} from '../../../src/token/host/ckr.js';

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

describe('an error of making an object', () => {
  it('does not make the token suspect where a full one is known to answer it', () => {
    const full = ['CKR_GENERAL_ERROR', 'CKR_FUNCTION_FAILED', 'CKR_DEVICE_ERROR', 'CKR_DEVICE_MEMORY'];
    for (const [name, [code]] of Object.entries(ckrTable)) {
      const error = thrown(name, code);
      const expected = full.includes(name) ? 'session' : meaningOf(error).lost;
      expect(meaningOfMaking(error).lost, name).toBe(expected);
    }
    expect(meaningOfMaking(thrown('CKR_VENDOR_DEFINED', 0x8000_0001)).lost).toBe('token');
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
      expect(meaningOf(unknown)).toEqual({ hears: 'KMSInternalException', lost: 'token', again: false });
    }
    // caml-crush answers rv = -1, which arrives as an imprecise number.
    expect(meaningOf(thrown('CKR_VENDOR_DEFINED', 18446744073709551616)).lost).toBe('token');
  });
});
