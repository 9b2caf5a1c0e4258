// The host's performer in this process on a real SoftHSMv2 token, with single calls of the library answered by the test: what each class of
// return value costs, and that a caller's bad input costs nothing.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Secret } from '../../src/kernel/secret.js';
import type { Token } from '../../src/ports/token.js';
import { calls, type ArgsOf } from '../../src/token/calls.js';
import { FrameWriter } from '../../src/token/frames.js';
import { TokenLost } from '../../src/token/host/fault.js';
import { finalize, type LoadedModule } from '../../src/token/host/module.js';
import { ObjectIndex } from '../../src/token/host/object-index.js';
import { Performer } from '../../src/token/host/performer.js';
import type { Profile } from '../../src/token/host/profile.js';
import type { TokenSession } from '../../src/token/host/session.js';
import { statuses, type Status } from '../../src/token/wire.js';
import { logIn } from './logged-in.js';
import { SoftStore, tokenLabel } from './soft-token.js';

const ckaId = Buffer.alloc(16, 0x11);
const aad = Buffer.alloc(32);

let store: SoftStore;
let module: LoadedModule;
let session: TokenSession;
let profile: Profile;
let performer: Performer;
let sealed: Buffer;
let troubles: string[];
let nowMs = 1e6;

beforeAll(() => {
  store = new SoftStore().initialise();
  ({ module, session, profile } = logIn(store));
  performer = newPerformer();
  expect(perform('generateKey', [ckaId, 'AES_256']).status).toBe('ok');
});
beforeEach(() => {
  // What the test answered in the library's place may have left an operation active.
  session.replace();
  performer = newPerformer();
  sealed = perform('encrypt', [ckaId, aad, new Secret(Buffer.from('secret'))]).answer;
  troubles = [];
  nowMs += 60_000;
});
afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(async () => {
  finalize(module);
  await store.remove();
});

function newPerformer(): Performer {
  const clock = { monotonicMs: () => nowMs };
  const index = new ObjectIndex(session, clock);
  const made = new Performer({
    session,
    profile,
    index,
    info: { label: tokenLabel, serial: '', algorithms: [], callsInFlight: 1 },
    clock,
    onTrouble: (error, lost) => troubles.push(`${error instanceof Error ? error.message : ''} ${lost}`),
  });
  troubles = [];
  index.start([]);
  while (index.readSlice().length > 0);
  return made;
}

function perform<M extends keyof Token>(method: M, args: ArgsOf<M>): { status: string; answer: Buffer } {
  let frame = Buffer.alloc(0);
  const out = new FrameWriter((bytes) => (frame = Buffer.from(bytes)));
  const { op, args: field } = calls[method];
  const payload = Buffer.alloc(field.measure(args as never));
  field.write(args as never, payload, 0);
  try {
    expect(performer.perform(7, op, payload, out)).toBe('answered');
  } finally {
    performer.endTurn();
    out.flush();
  }
  const status = (Object.keys(statuses) as Status[]).find((name) => statuses[name] === frame[8]);
  return { status: status ?? '', answer: frame.subarray(9) };
}

type Faulty = 'C_EncryptInit' | 'C_Encrypt' | 'C_DecryptInit' | 'C_Decrypt' | 'C_GenerateKey' | 'C_GenerateRandom';

/** The next `times` calls of the function return this value. */
function answers(name: Faulty, code: number, times = 1): void {
  const real = module.pkcs11[name].bind(module.pkcs11) as (...args: unknown[]) => unknown;
  vi.spyOn(module.pkcs11, name).mockImplementation((...args: unknown[]) => {
    if (times-- > 0) throw Object.assign(new Error('CKR_OF_THE_TEST'), { code });
    return real(...args);
  });
}

const encrypt = (): string => perform('encrypt', [ckaId, aad, new Secret(Buffer.from('x'))]).status;
const decrypt = (bytes: Buffer): string => perform('decrypt', [ckaId, aad, bytes]).status;

describe('bad ciphertexts of a caller, in thousands,', () => {
  it('cost no session, and the token is asked once in a while whether it is well', () => {
    const opened = vi.spyOn(module.pkcs11, 'C_OpenSession');
    const copied = vi.spyOn(module.pkcs11, 'C_CopyObject');
    const before = session.handle.toString('hex');
    for (let i = 0; i < 5000; i++) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(changed.readUInt8(i % sealed.length) ^ (1 << (i % 8)), i % sealed.length);
      expect(decrypt(changed)).toBe('invalidCiphertext');
      if (i % 50 === 0) nowMs += 1;
    }
    // 100 ms of the test's time have passed.
    expect(opened.mock.calls.length).toBeLessThanOrEqual(2);
    expect(copied).not.toHaveBeenCalled();
    expect(session.handle.toString('hex')).toBe(before);
    expect(decrypt(sealed)).toBe('ok');
    expect(troubles).toEqual([]);
  });
});

describe('a return value', () => {
  it.each<[Faulty, number, string, string | undefined]>([
    ['C_Encrypt', 0x05, 'internal', 'nothing'],
    ['C_Encrypt', 0x06, 'internal', 'nothing'],
    ['C_Encrypt', 0x30, 'internal', 'nothing'],
    ['C_Encrypt', 0x8000_0001, 'internal', 'nothing'],
    ['C_EncryptInit', 0x30, 'internal', 'nothing'],
    ['C_Encrypt', 0x21, 'internal', 'nothing'],
    ['C_Encrypt', 0x07, 'internal', 'session'],
    ['C_EncryptInit', 0xb3, 'ok', 'session'],
    ['C_EncryptInit', 0x90, 'ok', 'session'],
    ['C_EncryptInit', 0x60, 'ok', 'session'],
  ])('%s %i: the caller hears %s, and what is lost is %s', (from, code, status, lost) => {
    const before = session.handle.toString('hex');
    answers(from, code);
    expect(encrypt()).toBe(status);
    expect(troubles).toEqual([`${from}: CKR_OF_THE_TEST ${lost}`]);
    expect(session.handle.toString('hex') !== before).toBe(lost === 'session');
    expect(encrypt()).toBe('ok');
  });

  it('that is about the ciphertext is no trouble of ours', () => {
    answers('C_Decrypt', 0x40);
    expect(decrypt(sealed)).toBe('invalidCiphertext');
    expect(troubles).toEqual([]);
  });

  it.each<[Faulty, number]>([
    ['C_Encrypt', 0x32],
    ['C_Encrypt', 0x101],
    ['C_Encrypt', 0x190],
    ['C_Encrypt', 0x1234],
    ['C_EncryptInit', 0xe0],
  ])('%s %i loses the token', (from, code) => {
    answers(from, code);
    expect(encrypt).toThrow(TokenLost);
  });

  it('that says nothing loses the token when the token does not answer either', () => {
    answers('C_GenerateRandom', 0x30, Infinity);
    expect(encrypt).toThrow(TokenLost);
    expect(troubles).toEqual(['C_GenerateRandom: CKR_OF_THE_TEST token']);
  });

  it('of making a key that fails says that nothing was made, and costs no session', () => {
    const before = session.handle.toString('hex');
    for (const code of [0x05, 0x30, 0x31]) {
      answers('C_GenerateKey', code);
      expect(perform('generateKey', [Buffer.alloc(16, 0x22), 'AES_256']).status).toBe('nothingMade');
      vi.restoreAllMocks();
    }
    expect(troubles).toHaveLength(3);
    expect(session.handle.toString('hex')).toBe(before);
  });
});
