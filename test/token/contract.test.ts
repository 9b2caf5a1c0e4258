// The port's contract, on a real SoftHSMv2 token through client and host, and on the fake that other tests use in its place.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BridgeError } from '../../src/kernel/errors.js';
import { macAlgorithms } from '../../src/model/key-specs.js';
import { DaemonKeyMissing, daemonKeys } from '../../src/ports/token.js';
import { type ClearToken, inTheClear } from '../support/clear-token.js';
import { FakeToken } from '../support/fake-token.js';
import type { TokenKind } from '../../src/model/token-key.js';
import type { AccountToken } from './one-account.js';
import { clientOf, SoftStore } from './soft-token.js';

const aad = Buffer.alloc(32, 0x5a);
const otherAad = Buffer.alloc(32, 0xa5);
const absentId = Buffer.alloc(16, 0x77);
const coded = (code: string): object => expect.objectContaining({ name: 'BridgeError', code }) as object;
const hexOf = (ids: readonly Buffer[]): string[] => ids.map((id) => id.toString('hex'));

let stores: SoftStore[] = [];
let real: AccountToken;
let interposed: AccountToken;

async function startOn(store: SoftStore): Promise<AccountToken> {
  stores.push(store);
  await store.start().ready();
  const token = clientOf(store);
  token.ready();
  return token;
}

beforeAll(async () => {
  real = await startOn(new SoftStore().initialise());
  const other = new SoftStore().initialise();
  other.interpose();
  interposed = await startOn(other);
});
afterAll(async () => {
  await Promise.all([real.close(), interposed.close()]);
  await Promise.all(stores.map((store) => store.remove()));
  stores = [];
});

let made = 0;

describe.each([
  ['a real token', () => real],
  ['a real token behind the interposer', () => interposed],
  ['the fake token', () => inTheClear(new FakeToken())],
] as [string, () => ClearToken][])('%s', (_, open) => {
  let token: ClearToken;
  let ckaId: Buffer;
  beforeAll(() => {
    token = open();
  });
  beforeEach(async () => {
    ckaId = Buffer.alloc(16);
    ckaId.writeUInt32BE((made += 0x0100_0001));
    await token.generateKey(ckaId, 'AES_256');
  });

  it('says who it is and what it can do', async () => {
    const info = await token.info();
    expect(info).toMatchObject({ label: expect.any(String) as string, serial: expect.any(String) as string });
    expect(info.algorithms).toEqual(['AES_256_GCM', ...macAlgorithms]);
  });

  it.each([0, 1, 4096])('opens what it sealed: %i bytes', async (length) => {
    const plaintext = Buffer.alloc(length, 0xa5);
    const sealed = await token.encrypt(ckaId, aad, plaintext);
    expect(sealed.length).toBe(12 + length + 16);
    expect(await token.decrypt(ckaId, aad, sealed)).toEqual(plaintext);
  });

  it('does not open what was changed, cut or moved', async () => {
    const sealed = await token.encrypt(ckaId, aad, Buffer.from('secret'));
    const changed = Buffer.from(sealed);
    changed.writeUInt8(changed.readUInt8(14) ^ 1, 14);
    const attempts: [Buffer, Buffer][] = [
      [aad, changed],
      [otherAad, sealed],
      ...[0, 11, 12, 27, sealed.length - 1].map((length): [Buffer, Buffer] => [aad, sealed.subarray(0, length)]),
    ];
    for (const [with_, bytes] of attempts)
      await expect(token.decrypt(ckaId, with_, bytes)).rejects.toEqual(coded('InvalidCiphertextException'));
    expect((await token.decrypt(ckaId, aad, sealed)).toString()).toBe('secret');
  });

  it('re-encrypts, and makes data keys that it opens', async () => {
    const sealed = await token.encrypt(ckaId, aad, Buffer.from('moved'));
    const moved = await token.reEncrypt({ ckaId, aad, sealed }, { ckaId, aad: otherAad });
    expect((await token.decrypt(ckaId, otherAad, moved)).toString()).toBe('moved');
    for (const bytes of [1, 32, 1024]) {
      const pair = await token.generateDataKey(ckaId, aad, bytes);
      expect(pair.plaintext).toHaveLength(bytes);
      expect(await token.decrypt(ckaId, aad, pair.sealed)).toEqual(pair.plaintext);
      const alone = await token.generateDataKeyWithoutPlaintext(ckaId, aad, bytes);
      expect(await token.decrypt(ckaId, aad, alone)).toHaveLength(bytes);
    }
  });

  it.each(macAlgorithms)(
    'makes %s of messages under a key of its kind, and tells them from others',
    async (algorithm) => {
      const bytes = Number(algorithm.slice(-3)) / 8;
      const macId = Buffer.from(ckaId);
      macId.writeUInt8(bytes, 15);
      const kind = `HMAC_${bytes * 8}` as TokenKind;
      await token.generateKey(macId, kind);
      for (const message of [Buffer.alloc(0), Buffer.from('message'), Buffer.alloc(4096, 7)]) {
        const mac = await token.generateMac(macId, algorithm, message);
        expect(mac).toHaveLength(bytes);
        expect(await token.verifyMac(macId, algorithm, message, mac)).toBe(true);
        const changed = Buffer.from(mac);
        changed.writeUInt8(changed.readUInt8(bytes - 1) ^ 1, bytes - 1);
        const longer = Buffer.concat([mac, Buffer.of(0)]);
        for (const wrong of [
          changed,
          mac.subarray(1),
          mac.subarray(0, -1),
          longer,
          Buffer.alloc(0),
          Buffer.alloc(6144),
        ])
          expect(await token.verifyMac(macId, algorithm, message, wrong)).toBe(false);
        expect(await token.verifyMac(macId, algorithm, Buffer.from('another'), mac)).toBe(false);
      }
      for (const id of [ckaId, absentId])
        await expect(token.generateMac(id, algorithm, Buffer.alloc(1))).rejects.toEqual(
          coded('KeyUnavailableException'),
        );
      // A key of another length is of the same type to the token: it is refused all the same.
      const other = algorithm === 'HMAC_SHA_512' ? 'HMAC_SHA_384' : 'HMAC_SHA_512';
      await expect(token.verifyMac(macId, other, Buffer.alloc(1), Buffer.alloc(64))).rejects.toBeInstanceOf(
        BridgeError,
      );
    },
  );

  it('lists its objects of every kind in pages, in the order of their CKA_IDs', async () => {
    const macId = Buffer.from(ckaId);
    macId.writeUInt8(2, 15);
    await token.generateKey(macId, 'HMAC_256');
    const whole = hexOf(await token.inventory(undefined, 8192));
    expect(whole).toEqual([...whole].sort());
    expect(whole).toEqual(expect.arrayContaining(hexOf([ckaId, macId])));
    const paged: Buffer[] = [];
    for (;;) {
      const page = await token.inventory(paged.at(-1), 2);
      paged.push(...page);
      if (page.length < 2) break;
    }
    expect(hexOf(paged)).toEqual(whole);
  });

  it('destroys what is recorded for this time, and nothing else', async () => {
    expect(await token.destroyScheduled([ckaId], 1000)).toBe(false);
    expect(await token.scheduleDestruction([ckaId], 1000)).toBe(true);
    expect(await token.destroyScheduled([ckaId], 999)).toBe(false);
    await token.cancelDestruction([ckaId]);
    expect(await token.destroyScheduled([ckaId], 1000)).toBe(false);
    await token.scheduleDestruction([ckaId], 1000);
    expect(await token.destroyScheduled([ckaId], 1000)).toBe(true);
    expect(await token.holds(ckaId)).toBe(false);
    expect(await token.destroyScheduled([ckaId], 1000)).toBe(true);
  });

  it('has keys of the daemon’s own, made once and out of sight', async () => {
    await expect(token.macRow(Buffer.from('row'))).rejects.toBeInstanceOf(DaemonKeyMissing);
    await token.createDaemonKeys();
    await expect(token.createDaemonKeys()).rejects.toEqual(coded('KMSInternalException'));
    const seal = await token.macRow(Buffer.from('row'));
    expect(seal).toHaveLength(32);
    expect(await token.macRow(Buffer.from('row'))).toEqual(seal);
    expect(await token.macRow(Buffer.from('raw'))).not.toEqual(seal);
    const sealed = await token.encrypt(daemonKeys.secrets, aad, Buffer.from('secret'));
    expect((await token.decrypt(daemonKeys.secrets, aad, sealed)).toString()).toBe('secret');
    await expect(token.encrypt(daemonKeys.rowSeal, aad, Buffer.alloc(1))).rejects.toBeInstanceOf(DaemonKeyMissing);
    const listed = hexOf(await token.inventory(undefined, 8192));
    for (const own of Object.values(daemonKeys)) {
      expect(listed).not.toContain(own.toString('hex'));
      await expect(token.generateKey(own, 'AES_256')).rejects.toThrow(RangeError);
      await expect(token.scheduleDestruction([own], 1)).rejects.toThrow(RangeError);
      await expect(token.destroyScheduled([own], 1)).rejects.toThrow(RangeError);
    }
  });

  it('does not take what is of another shape', async () => {
    await expect(token.encrypt(ckaId.subarray(1), aad, Buffer.alloc(1))).rejects.toThrow(RangeError);
    await expect(token.decrypt(ckaId, aad.subarray(1), Buffer.alloc(40))).rejects.toThrow(RangeError);
    for (const bytes of [0, -1, 1.5, 1025, NaN]) {
      await expect(token.random(bytes)).rejects.toThrow(RangeError);
      await expect(token.generateDataKey(ckaId, aad, bytes)).rejects.toThrow(RangeError);
    }
    for (const limit of [0, 8193]) await expect(token.inventory(undefined, limit)).rejects.toThrow(RangeError);
    expect(await token.random(1024)).toHaveLength(1024);
  });
});
