// Whole hosts on a token that fails as hardware does: sessions lost, capped, and hung; answers lost on their way; vendors' AES-GCM.
import { existsSync } from 'node:fs';
import pkcs11 from 'pkcs11js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FromTokenHost } from '../../src/config/processes.js';
import { NothingMade } from '../../src/ports/token.js';
import type { Interposer } from '../support/interposer/interposer.js';
import type { AccountToken } from './one-account.js';
import { clientOf, SoftStore, type Host } from './soft-token.js';
import { threadedProfile } from './threaded-profile.js';

const ckaId = Buffer.alloc(16, 0x11);
const aad = Buffer.alloc(32);
const plaintext = Buffer.from('열쇠');
const coded = (code: string): object => expect.objectContaining({ name: 'BridgeError', code }) as object;

let store: SoftStore;
let interposer: Interposer;

beforeEach(() => {
  store = new SoftStore().initialise();
  interposer = store.interpose();
});
afterEach(async () => {
  await store.remove();
});

describe('a host that serves', () => {
  let host: Host;
  let token: AccountToken;
  let overruns: number;
  beforeEach(async () => {
    host = await store.start().ready();
    overruns = 0;
    token = clientOf(store, { onOverrun: () => overruns++ });
    token.ready();
    await token.generateKey(ckaId, 'AES_256');
  });
  afterEach(async () => {
    await token.close();
  });

  const roundTrip = async (): Promise<void> => {
    expect(await token.decrypt(ckaId, aad, await token.encrypt(ckaId, aad, plaintext))).toEqual(plaintext);
  };

  async function expectLost(): Promise<void> {
    expect(await host.exit).toEqual({ code: 75, signal: null });
  }

  async function startNext(): Promise<void> {
    host = await store.start().ready();
    token.ready();
    await roundTrip();
  }

  const told = (): string[] =>
    host.messages
      .filter((message): message is FromTokenHost & { type: 'trouble' } => message.type === 'trouble')
      .map(({ trouble }) => trouble.what);

  it('replaces a session that is lost, and nobody notices', async () => {
    const before = interposer.openSessions;
    for (let lost = 0; lost < 5; lost++) {
      interposer.loseSessions(1);
      await roundTrip();
    }
    expect(interposer.openSessions).toBe(before);
    await token.close();
    expect(told().join()).toContain('CKR_SESSION_HANDLE_INVALID');
    token = clientOf(store);
  });

  it('goes on within the cap on sessions, also when one of them is lost', async () => {
    interposer.quirk('sessionCap', interposer.openSessions);
    for (let lost = 0; lost < 5; lost++) {
      interposer.loseSessions(1);
      await roundTrip();
    }
    expect(host.child.exitCode).toBeNull();
  });

  it('ends with its token, which its successor finds again', async () => {
    interposer.loseToken(true);
    await expect(token.encrypt(ckaId, aad, plaintext)).rejects.toEqual(coded('KMSInternalException'));
    await expectLost();
    interposer.loseToken(false);
    await startNext();
  });

  it('tells its caller of an error, goes on, and never runs what may have had an effect again', async () => {
    const { CKR_DEVICE_ERROR: error } = pkcs11;
    interposer.fail('C_Encrypt', { error });
    const before = interposer.calls('C_Encrypt');
    await expect(token.encrypt(ckaId, aad, plaintext)).rejects.toEqual(coded('KMSInternalException'));
    expect(interposer.calls('C_Encrypt')).toBe(before + 1);
    await roundTrip();
    // Made, and the answer lost: it is not said that nothing was made.
    interposer.fail('C_GenerateKey', { error, isAfter: true });
    const made = await token.generateKey(Buffer.alloc(16, 0x12), 'AES_256').catch((thrown: unknown) => thrown);
    expect(made).toEqual(coded('KMSInternalException'));
    expect(made).not.toBeInstanceOf(NothingMade);
    expect(await token.holds(Buffer.alloc(16, 0x12))).toBe(true);
    interposer.fail('C_GenerateKey', { error });
    await expect(token.generateKey(Buffer.alloc(16, 0x13), 'AES_256')).rejects.toBeInstanceOf(NothingMade);
    expect(await token.holds(Buffer.alloc(16, 0x13))).toBe(false);
    expect(host.child.exitCode).toBeNull();
  });

  it('that hangs in one call costs each call its deadline and is told of', async () => {
    await token.close();
    token = clientOf(store, { deadlineMs: 1000, onOverrun: () => overruns++ });
    token.ready();
    await roundTrip();
    interposer.hang('C_Encrypt');
    const calls = await Promise.allSettled([1, 2, 3].map(() => token.encrypt(ckaId, aad, plaintext)));
    for (const call of calls) expect(call).toMatchObject({ reason: coded('DependencyTimeoutException') });
    while (overruns === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    await host.kill();
    await startNext();
  });

  it('waits for a slow token', async () => {
    interposer.delay('C_EncryptInit', 20);
    interposer.delay('C_Encrypt', 20);
    await roundTrip();
    expect(interposer.mostInFlight('C_Encrypt')).toBe(1);
  });
});

describe('a host that starts', () => {
  async function expectFatal(code: string): Promise<string> {
    const host = store.start();
    const message = await host.said();
    if (message.type !== 'fatal') throw new Error(`the host said ${message.type}`);
    expect(message.code).toBe(code);
    expect(await host.exit).toEqual({ code: 3, signal: null });
    return message.message;
  }

  it('offers a PIN once, whatever the token answers, and however often it is started', async () => {
    interposer.fail('C_Login', { error: pkcs11.CKR_PIN_INCORRECT, times: Infinity });
    for (let start = 0; start < 3; start++) await expectFatal('wrong-pin');
    expect(interposer.calls('C_Login')).toBe(1);
    expect(existsSync(store.socketPath)).toBe(false);
  });

  it('that hangs in its login is no reason to offer the PIN again', async () => {
    interposer.hang('C_Login');
    const host = store.start({ profilePath: threadedProfile(store, 8) });
    while (interposer.calls('C_Login') === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    // As its supervisor does, when the time for its start is over.
    await host.kill();
    for (let start = 0; start < 2; start++) await expectFatal('login-unclear');
    expect(interposer.calls('C_Login')).toBe(1);
  });

  it.each([
    ['absent', 'CKM_AES_GCM'],
    ['writes-iv', 'CKR_ARGUMENTS_BAD'],
    ['appends-iv', 'CKR_MECHANISM_PARAM_INVALID'],
  ] as const)('refuses a token whose AES-GCM is another than its profile says: %s', async (way, says) => {
    interposer.gcm(way);
    expect(await expectFatal('configuration')).toContain(says);
  });

  it.each([
    ['refusedAttribute', pkcs11.CKA_SENSITIVE],
    ['tokenObjectsOnly', 1],
    ['maxIdBytes', 8],
  ] as const)('refuses a token that does not make its keys: %s', async (quirk, value) => {
    interposer.quirk(quirk, value);
    expect(await expectFatal('configuration')).toContain('CKR_');
  });
});
