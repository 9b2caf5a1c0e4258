// Calls in flight on a token that takes many at once: SoftHSM behind the interposer, whose calls take as long as a device's.
import pkcs11 from 'pkcs11js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NothingMade } from '../../src/ports/token.js';
import type { Interposer } from '../support/interposer/interposer.js';
import type { AccountToken } from './one-account.js';
import { clientOf, SoftStore, type Host } from './soft-token.js';
import { threadedProfile } from './threaded-profile.js';

const ckaId = Buffer.alloc(16, 0x11);
const aad = Buffer.alloc(32);
const coded = (code: string): object => expect.objectContaining({ name: 'BridgeError', code }) as object;

let store: SoftStore;
let interposer: Interposer;
let host: Host;
let token: AccountToken;

async function startWith(callsInFlight: number, deadlineMs = 20_000): Promise<void> {
  host = await store.start({ profilePath: threadedProfile(store, callsInFlight) }).ready();
  token = clientOf(store, { deadlineMs });
  token.ready();
}

beforeEach(() => {
  store = new SoftStore().initialise();
  interposer = store.interpose();
});
afterEach(async () => {
  interposer.release();
  await token.close();
  await store.remove();
});

const text = (n: number): Buffer => Buffer.from(`plaintext ${n}`);
const seals = (count: number): Promise<Buffer[]> =>
  Promise.all(Array.from({ length: count }, (_, n) => token.encrypt(ckaId, aad, text(n))));

async function expectOpens(sealed: readonly Buffer[]): Promise<void> {
  const opened = await Promise.all(sealed.map((each) => token.decrypt(ckaId, aad, each)));
  expect(opened).toEqual(sealed.map((_, n) => text(n)));
  expect(new Set(sealed.map((each) => each.toString('hex', 0, 12))).size).toBe(sealed.length);
}

describe('a gateway that starts and asks for what an earlier one had begun', () => {
  beforeEach(() => startWith(1));

  it('is told of a key that is still being made', async () => {
    interposer.delay('C_GenerateKey', 500);
    const making = token.generateKey(ckaId, 'AES_256');
    const later = clientOf(store, { deadlineMs: 20_000 });
    later.ready();
    try {
      await later.info();
      expect(interposer.mostInFlight('C_GenerateKey')).toBe(1);
      expect(await later.holds(ckaId)).toBe(true);
      await making;
    } finally {
      await later.close();
    }
  });

  it('is told that there is none, and then none is made', async () => {
    expect(await token.holds(ckaId)).toBe(false);
    await expect(token.generateKey(ckaId, 'AES_256')).rejects.toBeInstanceOf(NothingMade);
    expect(await token.holds(ckaId)).toBe(false);
    await token.generateKey(Buffer.alloc(16, 0x12), 'AES_256');
  });
});

describe('a token that takes eight calls at once', () => {
  beforeEach(async () => {
    await startWith(8);
    await token.generateKey(ckaId, 'AES_256');
  });

  it('is given eight, and each caller gets its own answer', async () => {
    interposer.delay('C_Encrypt', 20);
    await expectOpens(await seals(200));
    expect(interposer.mostInFlight('C_Encrypt')).toBe(8);
    await expect(token.decrypt(ckaId, Buffer.alloc(32, 1), (await seals(1))[0]!)).rejects.toEqual(
      coded('InvalidCiphertextException'),
    );
    await expect(token.encrypt(Buffer.alloc(16, 0x77), aad, text(0))).rejects.toEqual(coded('KeyUnavailableException'));
  });

  it('loses its sessions one by one, and callers notice nothing', async () => {
    await seals(50);
    const before = interposer.openSessions;
    for (let round = 0; round < 4; round++) {
      interposer.loseSessions(3);
      await expectOpens(await seals(50));
    }
    expect(interposer.openSessions).toBe(before);
  });

  it('that opens no further session gives the lost ones back', async () => {
    await seals(50);
    interposer.quirk('sessionCap', interposer.openSessions);
    interposer.loseSessions(5);
    await expectOpens(await seals(50));
    expect(host.child.exitCode).toBeNull();
  });

  it('that is lost ends its host, after an answer to everybody', async () => {
    await seals(20);
    interposer.loseToken(true);
    for (const call of await Promise.allSettled([seals(1), seals(1), seals(1)]))
      expect(call).toMatchObject({ reason: coded('KMSInternalException') });
    expect(await host.exit).toEqual({ code: 75, signal: null });
    interposer.loseToken(false);
    host = await store.start().ready();
    token.ready();
    await expectOpens(await seals(3));
  });

  it('uses no key that was destroyed, in any session', async () => {
    const sealed = await seals(64);
    await token.scheduleDestruction([ckaId], 1);
    expect(await token.destroyScheduled([ckaId], 1)).toBe(true);
    for (const each of sealed)
      await expect(token.decrypt(ckaId, aad, each)).rejects.toEqual(coded('KeyUnavailableException'));
  });
});

describe('sixteen calls where the token opens four sessions', () => {
  it('are made by as many threads as have one, and each loss is made good within the cap', async () => {
    interposer.quirk('sessionCap', 5);
    host = store.start({ profilePath: threadedProfile(store, 16) });
    token = clientOf(store);
    // It tells of each thread that found no session.
    while (!host.messages.some(({ type }) => type === 'ready')) await new Promise((resolve) => setTimeout(resolve, 5));
    token.ready();
    // One more is the main thread's, and one is for the thread that makes keys.
    interposer.quirk('sessionCap', 6);
    await token.generateKey(ckaId, 'AES_256');
    await expectOpens(await seals(100));
    interposer.quirk('sessionCap', interposer.openSessions);
    for (let round = 0; round < 3; round++) {
      interposer.loseSessions(2);
      await expectOpens(await seals(60));
    }
    expect(interposer.openSessions).toBeLessThanOrEqual(6);
    expect(interposer.mostInFlight('C_Encrypt')).toBeLessThanOrEqual(4);
    expect(interposer.calls('C_Login')).toBe(1);
    expect(host.child.exitCode).toBeNull();
  });
});

describe('one call of eight that hangs', () => {
  beforeEach(async () => {
    await startWith(8, 6000);
    await token.generateKey(ckaId, 'AES_256');
    await seals(64);
  });

  it('costs its caller the deadline, and the others nothing', async () => {
    interposer.hang('C_Encrypt');
    const before = interposer.calls('C_Encrypt');
    const hung = token.encrypt(ckaId, aad, text(0)).catch((error: unknown) => error);
    while (interposer.calls('C_Encrypt') === before) await new Promise((resolve) => setTimeout(resolve, 5));
    const over = new AbortController();
    void hung.then(() => over.abort());
    while (!over.signal.aborted) await expectOpens(await seals(20));
    expect(await hung).toEqual(coded('DependencyTimeoutException'));
    await expectOpens(await seals(20));
    expect(host.child.exitCode).toBeNull();
  });
});

describe('a key that takes long to make', () => {
  it('holds up no other call, where the token takes one at a time, too', async () => {
    await startWith(1);
    await token.generateKey(ckaId, 'AES_256');
    interposer.delay('C_GenerateKey', 1000);
    const over = new AbortController();
    const made = token.generateKey(Buffer.alloc(16, 0x12), 'AES_256').then(() => over.abort());
    let served = 0;
    while (!over.signal.aborted) {
      await expectOpens(await seals(5));
      served += 1;
    }
    await made;
    expect(served).toBeGreaterThan(5);
    expect(interposer.mostInFlight('C_Encrypt')).toBe(1);
    interposer.fail('C_GenerateKey', { error: pkcs11.CKR_DEVICE_MEMORY });
    await expect(token.generateKey(Buffer.alloc(16, 0x13), 'AES_256')).rejects.toMatchObject({
      code: 'KMSInternalException',
    });
    expect(await token.holds(Buffer.alloc(16, 0x13))).toBe(false);
    expect(await token.holds(Buffer.alloc(16, 0x12))).toBe(true);
  });
});
