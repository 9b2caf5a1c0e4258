// Access keys, counters, leases and the daemon's own keys in the token.
import { expect, it } from 'vitest';
import { BridgeError } from '../../src/kernel/errors.js';
import type { Bench } from './bench.js';
import { accountId, region, sampleKey } from './samples.js';

const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
const credential = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', accountId, secretAccessKey };

export function credentialSuite(bench: () => Bench): void {
  it('keeps a secret that nobody finds on the disk', async () => {
    const store = await bench().open();
    expect(await store.credentials.find(credential.accessKeyId)).toBeUndefined();
    await store.credentials.insert(credential);
    expect(await store.credentials.find(credential.accessKeyId)).toEqual(credential);
    expect(await (await bench().open()).credentials.find(credential.accessKeyId)).toEqual(credential);
    const onDisk = bench().database.bytesOnDisk();
    expect(onDisk.includes(credential.accessKeyId)).toBe(true);
    expect(onDisk.includes(secretAccessKey)).toBe(false);
    await expect(store.credentials.insert(credential)).rejects.toMatchObject({ code: 'KMSInternalException' });
  });

  it('finds the oldest root access key of an account', async () => {
    const store = await bench().open();
    expect(await store.credentials.findRoot(accountId)).toBeUndefined();
    await store.credentials.insert({ ...credential, accessKeyId: 'AKIAZ' });
    bench().clock.nowMs += 1;
    await store.credentials.insert({ ...credential, accessKeyId: 'AKIAA' });
    await store.credentials.insert({ ...credential, accessKeyId: 'AKIAB', accountId: '999999999999' });
    expect((await store.credentials.findRoot(accountId))?.accessKeyId).toBe('AKIAZ');
    expect((await store.credentials.findRoot('999999999999'))?.accessKeyId).toBe('AKIAB');
  });

  it('counts messages once each, over all gateways', async () => {
    const [one, two] = [await bench().open(), await bench().open()];
    const material = 'ef'.repeat(32);
    const totals = await Promise.all(
      Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? one : two).usage.reserve(material, 1_000)),
    );
    expect(totals.sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, n) => (n + 1) * 1_000));
    expect(await one.usage.reserve('00'.repeat(32), 2 ** 40)).toBe(2 ** 40);
    await expect(one.usage.reserve(material, 0)).rejects.toBeInstanceOf(TypeError);
    expect(await (await bench().open()).usage.reserve(material, 1)).toBe(50_001);
  });

  it('gives a lease to one holder at a time', async () => {
    const [one, two] = [await bench().open(), await bench().open()];
    expect(await one.leases.take('rotation', 'one', 1_000)).toBe(true);
    expect(await two.leases.take('rotation', 'two', 1_000)).toBe(false);
    expect(await two.leases.take('deletion', 'two', 1_000)).toBe(true);
    bench().clock.nowMs += 999;
    expect(await one.leases.take('rotation', 'one', 1_000)).toBe(true);
    bench().clock.nowMs += 999;
    expect(await two.leases.take('rotation', 'two', 1_000)).toBe(false);
    bench().clock.nowMs += 1;
    expect(await two.leases.take('rotation', 'two', 1_000)).toBe(true);
    expect(await one.leases.take('rotation', 'one', 1_000)).toBe(false);
  });

  it("makes the daemon's keys once per Region, whoever comes first", async () => {
    const stores = [await bench().open(), await bench().open(), await bench().open()];
    await Promise.all(stores.flatMap((store) => [store.keys.insert(sampleKey()), store.keys.insert(sampleKey())]));
    expect(bench().tokens.of(region).createCalls).toBe(1);
    await stores[0]!.keys.insert(sampleKey({ region: 'us-east-1' }));
    expect(bench().tokens.of('us-east-1').createCalls).toBe(1);
    await (await bench().open()).keys.insert(sampleKey());
    expect(bench().tokens.of(region).createCalls).toBe(1);
  });

  it('takes over keys whose making was not recorded, as long as nothing was sealed', async () => {
    const token = bench().tokens.of(region);
    await token.createDaemonKeys();
    const store = await bench().open();
    const key = sampleKey();
    await store.keys.insert(key);
    expect(await store.keys.find(key)).toEqual(key);
  });

  it('refuses to seal when rows and keys are not known to belong together', async () => {
    const store = await bench().open();
    await store.credentials.insert(credential);
    bench().database.administrate('delete from tokens');
    const next = await bench().open();
    await expect(next.keys.insert(sampleKey())).rejects.toMatchObject({ code: 'KMSInternalException' });
    expect(bench().database.administrate('select * from keys')).toEqual([]);
    // Another Region's token has nothing to do with the credentials.
    await next.keys.insert(sampleKey({ region: 'us-east-1' }));
  });

  it('never makes new keys for a Region that is recorded, and tries again after a failure', async () => {
    const token = bench().tokens.of(region);
    token.failure = new BridgeError('DependencyTimeoutException');
    const store = await bench().open();
    const key = sampleKey();
    await expect(store.keys.insert(key)).rejects.toBe(token.failure);
    token.failure = undefined;
    await store.keys.insert(key);
    token.failure = new BridgeError('KeyUnavailableException');
    const next = await bench().open();
    await expect(next.keys.find(key)).rejects.toBe(token.failure);
    await expect(next.keys.insert(sampleKey())).rejects.toMatchObject({ code: 'KMSInternalException' });
    expect(token.createCalls).toBe(2);
    expect(next.integrityFailures()).toEqual([]);
    token.failure = undefined;
    expect(await next.keys.find(key)).toEqual(key);
  });
}
