// The token port on a real SoftHSMv2 token, through the client and a host process; OpenSC's pkcs11-tool sees the same token.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DaemonKeyMissing, daemonKeys } from '../../src/ports/token.js';
import type { AccountToken } from './one-account.js';
import { clientOf, profilePath, softHsm, SoftStore, tokenLabel, type Host } from './soft-token.js';

const ckaId = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const otherId = Buffer.from('ffeeddccbbaa99887766554433221100', 'hex');
const absentId = Buffer.alloc(16, 0x77);
const aad = Buffer.alloc(32, 0x5a);
const otherAad = Buffer.alloc(32, 0xa5);

let store: SoftStore;
let host: Host;
let token: AccountToken;

beforeAll(async () => {
  store = new SoftStore().initialise();
  host = await store.start().ready();
  token = clientOf(store);
  token.ready();
  await token.generateKey(ckaId, 'AES_256');
  await token.generateKey(otherId, 'AES_256');
});

afterAll(async () => {
  await token.close();
  await store.remove();
});

async function destroy(...ckaIds: Buffer[]): Promise<void> {
  await token.scheduleDestruction(ckaIds, 1);
  expect(await token.destroyScheduled(ckaIds, 1)).toBe(true);
}

const coded = (code: string): object => expect.objectContaining({ name: 'BridgeError', code }) as object;

describe('a key in the token', () => {
  it('cannot leave, says an independent tool', () => {
    const output = store.asUser('--list-objects', '--type', 'secrkey');
    expect(output).toContain(ckaId.toString('hex'));
    expect(output).toMatch(/Usage:\s+encrypt, decrypt\n/);
    expect(output).toMatch(/Access:\s+sensitive, always sensitive, never extractable, local/);
    const read = ['--read-object', '--type', 'secrkey', '--id', ckaId.toString('hex')];
    expect(() => store.asUser(...read)).toThrow();
  });

  it.each([0, 1, 32, 4096])('seals and opens %i bytes', async (length) => {
    const plaintext = Buffer.alloc(length, 0xa5);
    const sealed = await token.encrypt(ckaId, aad, plaintext);
    expect(sealed.length).toBe(12 + length + 16);
    expect(await token.decrypt(ckaId, aad, sealed)).toEqual(plaintext);
  });

  it('never opens what was changed in one bit, and goes on working', async () => {
    const sealed = await token.encrypt(ckaId, aad, Buffer.from('열쇠'));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      await expect(token.decrypt(ckaId, aad, changed)).rejects.toEqual(coded('InvalidCiphertextException'));
    }
    for (let bit = 0; bit < aad.length * 8; bit++) {
      const changed = Buffer.from(aad);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      await expect(token.decrypt(ckaId, changed, sealed)).rejects.toEqual(coded('InvalidCiphertextException'));
    }
    await expect(token.decrypt(otherId, aad, sealed)).rejects.toEqual(coded('InvalidCiphertextException'));
    for (const length of [0, 11, 12, 27, 28, sealed.length - 1]) {
      const short = sealed.subarray(0, length);
      await expect(token.decrypt(ckaId, aad, short)).rejects.toEqual(coded('InvalidCiphertextException'));
    }
    expect((await token.decrypt(ckaId, aad, sealed)).toString()).toBe('열쇠');
    expect(host.child.exitCode).toBeNull();
  });

  it('never uses an IV twice', async () => {
    const sealed = await Promise.all(Array.from({ length: 2000 }, () => token.encrypt(ckaId, aad, Buffer.alloc(0))));
    expect(new Set(sealed.map((blob) => blob.toString('hex', 0, 12))).size).toBe(2000);
  });

  it('re-encrypts under another key and context', async () => {
    const sealed = await token.encrypt(ckaId, aad, Buffer.from('moved'));
    const moved = await token.reEncrypt({ ckaId, aad, sealed }, { ckaId: otherId, aad: otherAad });
    expect((await token.decrypt(otherId, otherAad, moved)).toString()).toBe('moved');
    await expect(token.reEncrypt({ ckaId, aad: otherAad, sealed }, { ckaId: otherId, aad })).rejects.toEqual(
      coded('InvalidCiphertextException'),
    );
    await expect(token.reEncrypt({ ckaId, aad, sealed }, { ckaId: absentId, aad })).rejects.toEqual(
      coded('KeyUnavailableException'),
    );
  });

  it.each([1, 32, 1024])('makes data keys of %i bytes', async (bytes) => {
    const { plaintext, sealed } = await token.generateDataKey(ckaId, aad, bytes);
    expect(plaintext.length).toBe(bytes);
    expect(await token.decrypt(ckaId, aad, sealed)).toEqual(plaintext);
    const opened = await token.decrypt(ckaId, aad, await token.generateDataKeyWithoutPlaintext(ckaId, aad, bytes));
    expect(opened.length).toBe(bytes);
    expect(bytes > 1 && opened.equals(plaintext)).toBe(false);
  });

  it('is KeyUnavailable when it is not there', async () => {
    await expect(token.encrypt(absentId, aad, Buffer.alloc(1))).rejects.toEqual(coded('KeyUnavailableException'));
    await expect(token.generateDataKey(absentId, aad, 32)).rejects.toEqual(coded('KeyUnavailableException'));
    await expect(token.encrypt(daemonKeys.rowSeal, aad, Buffer.alloc(1))).rejects.toBeInstanceOf(DaemonKeyMissing);
  });

  it('is listed until it is destroyed, and can be destroyed again', async () => {
    const made = Buffer.alloc(16, 0x42);
    await token.generateKey(made, 'AES_256');
    await token.encrypt(made, aad, Buffer.alloc(1));
    expect((await token.inventory(undefined, 8192)).map((id) => id.toString('hex')).sort()).toEqual(
      [ckaId, otherId, made].map((id) => id.toString('hex')).sort(),
    );
    expect(await token.holds(made)).toBe(true);
    await destroy(made);
    expect(await token.holds(made)).toBe(false);
    await destroy(made);
    await expect(token.encrypt(made, aad, Buffer.alloc(1))).rejects.toEqual(coded('KeyUnavailableException'));
    expect((await token.inventory(undefined, 8192)).length).toBe(2);
  });

  it('that somebody else destroyed is soon unavailable', async () => {
    const made = Buffer.alloc(16, 0x43);
    await token.generateKey(made, 'AES_256');
    await token.encrypt(made, aad, Buffer.alloc(1));
    store.asUser('--delete-object', '--type', 'secrkey', '--id', made.toString('hex'));
    // The host notices within a second; the test only waits until it does.
    const tries = async (): Promise<unknown> => {
      for (;;) {
        const outcome: unknown = await token.encrypt(made, aad, Buffer.alloc(1)).catch((error: unknown) => error);
        if (outcome instanceof Error) return outcome;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    expect(await tries()).toEqual(coded('KeyUnavailableException'));
    await token.encrypt(ckaId, aad, Buffer.alloc(1));
    expect(host.child.exitCode).toBeNull();
  });

  it('that others put there and could take out is not used', async () => {
    const planted = Buffer.alloc(16, 0x44);
    const make = ['--keygen', '--key-type', 'AES:32', '--id', planted.toString('hex'), '--label', 'planted'];
    store.asUser(...make, '--extractable');
    await expect(token.encrypt(planted, aad, Buffer.alloc(1))).rejects.toEqual(coded('KMSInternalException'));
    await destroy(planted);
  });

  it('is not used when two have its CKA_ID', async () => {
    const twice = Buffer.alloc(16, 0x45);
    const make = ['--keygen', '--key-type', 'AES:32', '--id', twice.toString('hex'), '--label', 'planted'];
    for (let i = 0; i < 2; i++) store.asUser(...make);
    await expect(token.encrypt(twice, aad, Buffer.alloc(1))).rejects.toEqual(coded('KMSInternalException'));
    await destroy(twice);
    expect((await token.inventory(undefined, 8192)).length).toBe(2);
  });
});

describe('a destruction', () => {
  it('needs the token’s own record of its time, for every key, and a host that is started anew still has it', async () => {
    const [first, second] = [Buffer.alloc(16, 0x51), Buffer.alloc(16, 0x52)];
    for (const made of [first, second]) await token.generateKey(made, 'AES_256');
    expect(await token.destroyScheduled([first], 1000)).toBe(false);
    expect(await token.scheduleDestruction([first], 1000)).toBe(true);
    expect(await token.destroyScheduled([first, second], 1000)).toBe(false);
    expect(await token.destroyScheduled([first], 999)).toBe(false);
    await token.cancelDestruction([first]);
    expect(await token.destroyScheduled([first], 1000)).toBe(false);
    await token.scheduleDestruction([first, second], 2 ** 42);
    expect(store.asUser('--list-objects', '--type', 'data')).toContain(new Date(2 ** 42).toISOString());
    await host.kill();
    token.down();
    host = await store.start().ready();
    token.ready();
    await token.encrypt(first, aad, Buffer.alloc(1));
    expect(await token.destroyScheduled([first, second], 2 ** 42)).toBe(true);
    expect(await token.holds(second)).toBe(false);
    expect(store.asUser('--list-objects', '--type', 'data')).not.toContain('hsm-bridge');
  });

  it('that two calls have scheduled at once is carried out at the time that was kept, whichever that is', async () => {
    for (const kept of [1000, 2000]) {
      const made = Buffer.alloc(16, kept / 8);
      await token.generateKey(made, 'AES_256');
      await Promise.all([1000, 2000].map((time) => token.scheduleDestruction([made], time)));
      expect(await token.destroyScheduled([made], kept)).toBe(true);
      expect(await token.destroyScheduled([made], 3000 - kept)).toBe(true);
      expect(store.asUser('--list-objects', '--type', 'data')).not.toContain('hsm-bridge');
    }
  });

  it('is never scheduled in a token that keeps no records', async () => {
    const poor = new SoftStore().initialise();
    try {
      const poorProfile = join(poor.home, 'profile.json');
      const profile = JSON.parse(readFileSync(profilePath, 'utf8')) as object;
      const dataObjects = { value: false, because: 'the token has no data objects' };
      writeFileSync(poorProfile, JSON.stringify({ ...profile, dataObjects }));
      await poor.start({ profilePath: poorProfile, modulePath: softHsm() }).ready();
      const own = clientOf(poor);
      own.ready();
      await own.generateKey(ckaId, 'AES_256');
      expect(await own.scheduleDestruction([ckaId], 1)).toBe(false);
      expect(await own.destroyScheduled([ckaId], 1)).toBe(false);
      expect(await own.holds(ckaId)).toBe(true);
      await own.close();
    } finally {
      await poor.remove();
    }
  });
});

describe('the daemon’s own keys', () => {
  it('are made once, seal rows and secrets, and stay out of sight', async () => {
    const row = Buffer.from('keys/1/{"policy":"…"}');
    await expect(token.macRow(row)).rejects.toBeInstanceOf(DaemonKeyMissing);
    await token.createDaemonKeys();
    await expect(token.createDaemonKeys()).rejects.toEqual(coded('KMSInternalException'));
    const seal = await token.macRow(row);
    expect(seal.length).toBe(32);
    expect(await token.macRow(row)).toEqual(seal);
    expect(await token.macRow(Buffer.concat([row, Buffer.of(0)]))).not.toEqual(seal);
    expect((await token.macRow(Buffer.alloc(0))).length).toBe(32);
    expect((await token.macRow(Buffer.alloc(200_000, 1))).length).toBe(32);
    const sealed = await token.encrypt(daemonKeys.secrets, aad, Buffer.from('secret'));
    expect((await token.decrypt(daemonKeys.secrets, aad, sealed)).toString()).toBe('secret');
    expect((await token.inventory(undefined, 8192)).length).toBe(2);
    await expect(token.scheduleDestruction([daemonKeys.rowSeal], 1)).rejects.toThrow(RangeError);
    await expect(token.destroyScheduled([daemonKeys.rowSeal], 1)).rejects.toThrow(RangeError);
    await expect(token.generateKey(daemonKeys.secrets, 'AES_256')).rejects.toThrow(RangeError);
    const output = store.asUser('--list-objects', '--type', 'secrkey');
    expect(output).toContain(daemonKeys.rowSeal.toString('hex'));
    // pkcs11-tool shows CKA_SIGN of secret keys nowhere.
    expect(output).toMatch(/Usage:\s+verify\n\s+Access:\s+sensitive, always sensitive, never extractable, local/);
  });

  it('left half made by a crash are finished', async () => {
    const half = new SoftStore().initialise();
    try {
      await half.start().ready();
      const own = clientOf(half);
      own.ready();
      await own.createDaemonKeys();
      const sealed = await own.encrypt(daemonKeys.secrets, aad, Buffer.from('kept'));
      half.asUser('--delete-object', '--type', 'secrkey', '--id', daemonKeys.rowSeal.toString('hex'));
      await own.createDaemonKeys();
      expect((await own.decrypt(daemonKeys.secrets, aad, sealed)).toString()).toBe('kept');
      await own.close();
    } finally {
      await half.remove();
    }
  });
});

describe('the token', () => {
  it('says who it is', async () => {
    const info = await token.info();
    expect(info).toMatchObject({ label: tokenLabel });
    expect(store.tool('--list-slots')).toContain(info.serial);
    expect(await host.said()).toEqual({ type: 'ready', token: info });
  });

  it('gives random bytes', async () => {
    const [first, second] = await Promise.all([token.random(1024), token.random(1024)]);
    expect(first.length).toBe(1024);
    expect(first).not.toEqual(second);
    for (const bytes of [0, -1, 1.5, 1025, NaN]) await expect(token.random(bytes)).rejects.toThrow(RangeError);
  });
});
