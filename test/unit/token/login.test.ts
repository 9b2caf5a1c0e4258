// The notes about logins, over a library of the test's own: a PIN that may have cost an attempt is never offered twice.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PKCS11 } from 'pkcs11js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StartFault } from '../../../src/token/host/fault.js';
import { login, type LoginOptions } from '../../../src/token/host/login.js';
import { loadProfile } from '../../../src/token/host/profile.js';

const profile = loadProfile('native-config/softhsm2.json');
/** CKF_USER_PIN_INITIALIZED. */
const token = { slot: Buffer.alloc(8), label: 'test', serial: '1', flags: 0x8 };

let home: string;
let options: LoginOptions;
let attempts: number;
/** What the note said while the library had the PIN. */
let during: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hsm-bridge-login-'));
  const pinFile = join(home, 'pin');
  options = { as: 'user', pinFile, notesFolder: join(home, 'notes'), region: 'eu-west-1', ours: false };
  writeFileSync(pinFile, 'the-pin-xyzzy\n', { mode: 0o600 });
  attempts = 0;
  during = '';
});

afterEach(() => {
  rmSync(home, { recursive: true });
});

const notes = (): string[] =>
  existsSync(options.notesFolder)
    ? readdirSync(options.notesFolder).map((name) => join(options.notesFolder, name))
    : [];

/** Undefined when it succeeds. `answer`: what C_Login returns. */
function tryLogin(answer = 0, changes: Partial<LoginOptions> = {}, serial = '1'): unknown {
  const C_Login = (): void => {
    attempts += 1;
    during = notes()
      .map((note) => readFileSync(note, 'utf8'))
      .join();
    if (answer !== 0) throw Object.assign(new Error('CKR'), { code: answer });
  };
  try {
    login({ C_Login } as unknown as PKCS11, Buffer.alloc(8), { ...token, serial }, { ...options, ...changes }, profile);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The library, or the machine, dies while it has the PIN: what it had noted stays. */
function dieInLogin(): void {
  tryLogin();
  writeFileSync(join(options.notesFolder, 'any.login'), during);
  attempts = 0;
}

const fault = (code: string, message: RegExp): object =>
  expect.objectContaining({ name: 'StartFault', code, message: expect.stringMatching(message) as string }) as object;

describe('a login', () => {
  it('is noted before the token is asked, without a trace of the PIN, and forgotten when it succeeds', () => {
    expect(tryLogin()).toBeUndefined();
    expect(during).toContain('begun');
    expect(during).not.toContain('xyzzy');
    expect(notes()).toEqual([]);
  });

  it('is not tried when it cannot be noted', () => {
    writeFileSync(join(home, 'notes'), 'a file where the folder should be');
    expect(tryLogin()).toEqual(fault('home-unwritable', /notes cannot be read/));
    expect(attempts).toBe(0);
  });

  it.each([
    ['was refused', () => tryLogin(0xa0), 'wrong-pin', /has refused .*correct the file/],
    [
      'was never heard of again',
      dieInLogin,
      'login-unclear',
      /begun and never ended: check the PIN's counter .* touch .*pin or delete /,
    ],
    ['ended with CKR_GENERAL_ERROR', () => tryLogin(0x5), 'login-unclear', /begun and never ended/],
    ['ended with CKR_FUNCTION_FAILED', () => tryLogin(0x6), 'login-unclear', /begun and never ended/],
    ['ended with a value of the vendor’s own', () => tryLogin(0x8000_0042), 'login-unclear', /begun and never ended/],
  ])('that %s is not repeated, until the file is touched', (_, first, code, message) => {
    first();
    attempts = 0;
    for (let restart = 0; restart < 3; restart++) expect(tryLogin()).toEqual(fault(code, message));
    expect(attempts).toBe(0);
    utimesSync(options.pinFile, 1, 1);
    expect(tryLogin()).toBeUndefined();
    expect(attempts).toBe(1);
    expect(notes()).toEqual([]);
  });

  it('that was never heard of again may be repeated when its note is deleted', () => {
    dieInLogin();
    expect(tryLogin()).toEqual(fault('login-unclear', /delete .*notes\/any\.login$/));
    rmSync(notes()[0]!);
    expect(tryLogin()).toBeUndefined();
  });

  it('tells the operator at once what a value that says nothing means', () => {
    expect(tryLogin(0x8000_0042)).toEqual(fault('login-unclear', /ended with 0x80000042.*touch .*pin or delete/));
  });

  // PKCS#11 v2.40 §5.6: CKR_DEVICE_ERROR, CKR_DEVICE_REMOVED, CKR_SESSION_HANDLE_INVALID, CKR_HOST_MEMORY, CKR_TOKEN_NOT_PRESENT.
  it.each([0x30, 0x32, 0xb3, 0x2, 0xe0])('that the token never looked at (0x%s) may be repeated', (code) => {
    const error = tryLogin(code);
    expect(error).not.toBeInstanceOf(StartFault);
    expect(error).toMatchObject({ code });
    expect(notes()).toEqual([]);
    expect(tryLogin()).toBeUndefined();
    expect(attempts).toBe(2);
  });

  it('that another process of ours made already is one', () => {
    expect(tryLogin(0x100)).toBeUndefined();
    expect(notes()).toEqual([]);
  });
});

describe('a PIN file that two Regions name', () => {
  const elsewhere = { region: 'us-east-1' };

  it.each([
    ['refused', () => tryLogin(0xa0), 'wrong-pin'],
    ['never answered', () => tryLogin(0x5), 'login-unclear'],
  ])('is offered to one token once: %s in one, it is not tried in the other', (_, first, code) => {
    first();
    expect(tryLogin(0, elsewhere)).toEqual(fault(code, /./));
    expect(attempts).toBe(1);
  });

  it('is offered to each of two tokens, which count for themselves', () => {
    tryLogin(0xa0, {}, '1');
    expect(tryLogin(0, elsewhere, '2')).toBeUndefined();
    expect(tryLogin(0, {}, '1')).toEqual(fault('wrong-pin', /has refused/));
    expect(attempts).toBe(2);
  });

  it('and one of another content, refused by the same token, is noted beside it', () => {
    const other = { ...elsewhere, pinFile: join(home, 'other-pin') };
    writeFileSync(other.pinFile, 'another-pin-0815\n', { mode: 0o600 });
    tryLogin(0xa0, other);
    expect(tryLogin()).toBeUndefined();
    expect(tryLogin(0, other)).toEqual(fault('wrong-pin', /has refused/));
    expect(attempts).toBe(2);
  });
});

describe('a note of the first version, one a Region', () => {
  function earlyNote(name: string, state: string, changes: object = {}): void {
    const { ino, mtimeNs, size } = statSync(options.pinFile, { bigint: true });
    mkdirSync(options.notesFolder, { recursive: true });
    const written = { state, ino: String(ino), mtimeNs: String(mtimeNs), size: String(size), ...changes };
    writeFileSync(join(options.notesFolder, name), JSON.stringify(written));
  }

  it.each(['eu-west-1.login', 'us-east-1.login'])('counts for every Region with that file: %s', (name) => {
    earlyNote(name, 'refused');
    expect(tryLogin()).toEqual(fault('wrong-pin', new RegExp(`delete .*/${name}`)));
    earlyNote(name, 'begun');
    expect(tryLogin()).toEqual(fault('login-unclear', new RegExp(`delete .*/${name}`)));
    expect(attempts).toBe(0);
  });

  it('about another content is about a PIN that nobody tries, and goes with the next login', () => {
    earlyNote('eu-west-1.login', 'refused', { size: '1' });
    expect(tryLogin()).toBeUndefined();
    expect(notes()).toEqual([]);
  });

  it('stays when it is the token of a further key store that is logged in to', () => {
    earlyNote('eu-west-1.login', 'refused', { size: '1' });
    expect(tryLogin(0, { region: undefined })).toBeUndefined();
    expect(notes()).toHaveLength(1);
  });
});

describe('a login to a token that the daemon made', () => {
  it('may die at any moment', () => {
    expect(tryLogin(0, { ours: true })).toBeUndefined();
    expect(during).toBe('');
    dieInLogin();
    expect(tryLogin(0, { ours: true })).toBeUndefined();
  });

  it('is not repeated when it was refused', () => {
    expect(tryLogin(0xa0, { ours: true })).toEqual(fault('wrong-pin', /CKR_PIN_INCORRECT/));
    expect(tryLogin(0, { ours: true })).toEqual(fault('wrong-pin', /has refused/));
    expect(attempts).toBe(1);
  });
});
