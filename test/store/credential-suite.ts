// Access keys, counters, leases and the daemon's own keys in the token.
import { expect, it } from 'vitest';
import { BridgeError } from '../../src/kernel/errors.js';
import { Secret } from '../../src/kernel/secret.js';
import type { Store } from '../../src/ports/store.js';
import { DaemonKeyMissing } from '../../src/ports/token.js';
import { all, type Bench } from './bench.js';
import { accountId, region, sampleKey, keyStore } from './samples.js';

const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
const credential = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', accountId, secretAccessKey: new Secret(secretAccessKey) };
const inTheClear = { ...credential, secretAccessKey };

async function found(store: Store): Promise<object | undefined> {
  const one = await store.credentials.find(credential.accessKeyId);
  return one && { ...one, secretAccessKey: one.secretAccessKey.reveal() };
}

export function credentialSuite(bench: () => Bench): void {
  it('keeps a secret that nobody finds on the disk', async () => {
    const store = await bench().open();
    expect(await found(store)).toBeUndefined();
    await store.credentials.insert(credential);
    expect(await found(store)).toEqual(inTheClear);
    expect(await found(await bench().open())).toEqual(inTheClear);
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

  it('gives a lease to one holder at a time, by the clock of the database', async () => {
    const [one, two] = [await bench().open(), await bench().open()];
    const first = await one.leases.take('rotation', 'one', 100_000);
    expect(first).toBeDefined();
    expect(await two.leases.take('rotation', 'two', 100_000)).toBeUndefined();
    expect(await two.leases.take('deletion', 'two', 100_000)).toBeDefined();
    // A gateway's own clock has no say.
    bench().clock.nowMs += 1e12;
    expect(await two.leases.take('rotation', 'two', 100_000)).toBeUndefined();
    // Held already: the same again, for longer.
    expect(await one.leases.take('rotation', 'one', 100_000)).toEqual(first);
    bench().database.administrate('update leases set expires_at_ms = 1');
    const second = await two.leases.take('rotation', 'two', 100_000);
    expect(second?.token).toBeGreaterThan(first!.token);
    expect(await one.leases.take('rotation', 'one', 100_000)).toBeUndefined();
    // Taken before the database's clock was set back.
    bench().database.administrate('update leases set expires_at_ms = expires_at_ms + 150000');
    const third = await one.leases.take('rotation', 'one', 100_000);
    expect(third?.token).toBeGreaterThan(second!.token);
  });

  it('gives a lease whose number another hand has made as large as there can be', async () => {
    const store = await bench().open();
    bench().database.administrate("insert into leases values ('rotation', 'x', 0, 9223372036854775807)");
    expect(await store.leases.take('rotation', 'one', 100_000)).toMatchObject({ holder: 'one', token: 1 });
    expect(await store.leases.take('rotation', 'one', 100_000)).toMatchObject({ holder: 'one', token: 1 });
  });

  it('lets nobody write who slept past the lease', async () => {
    const [one, two] = [await bench().open(), await bench().open()];
    const key = sampleKey();
    await one.keys.insert(key);
    const lease = (await one.leases.take('rotation', 'one', 100_000))!;
    const disabled = await one.keys.update(key, (k) => ({ ...k, status: 'disabled' }), lease);
    bench().database.administrate('update leases set expires_at_ms = 1');
    const late = [
      () => one.keys.update(key, (k) => ({ ...k, status: 'enabled' }), lease),
      () => one.keys.remove(key, lease),
    ];
    for (const write of late) await expect(write()).rejects.toMatchObject({ code: 'KMSInternalException' });
    await two.leases.take('rotation', 'two', 100_000);
    for (const write of late) await expect(write()).rejects.toMatchObject({ code: 'KMSInternalException' });
    bench().database.administrate('update leases set expires_at_ms = 1');
    // Its own again, and yet not the lease that it had.
    expect(await one.leases.take('rotation', 'one', 100_000)).not.toEqual(lease);
    for (const write of late) await expect(write()).rejects.toMatchObject({ code: 'KMSInternalException' });
    expect(await (await bench().open()).keys.find(key)).toEqual(disabled);
  });

  it('takes for over the earlier lives of a lane, lanes that are no more, and who is silent, and nobody else', async () => {
    const begin = async (host: string, lane: number, lanes: number) => {
      const store = await bench().open();
      return { store, life: await store.lives.begin({ host, lane, lanes }) };
    };
    const lives = [await begin('a', 0, 3), await begin('a', 1, 3), await begin('a', 2, 3), await begin('b', 0, 1)];
    for (const [n, { store, life }] of lives.entries())
      await store.keys.insert(sampleKey({ keyId: `key-${n}`, pendingMaterialId: `${n}`.repeat(64), life }));
    await lives[0]!.store.keys.insert(
      sampleKey({ keyId: 'key-9', pendingMaterialId: '9'.repeat(64), life: 'unknown' }),
    );
    const abandonedSeenBy = async ({ store }: (typeof lives)[number]): Promise<string[]> =>
      (await all(store.keys.unsettled(keyStore, 'abandoned'))).map(({ keyId }) => keyId);
    for (const life of lives) expect(await abandonedSeenBy(life)).toEqual(['key-9']);
    await lives[1]!.store.leases.take('work', lives[1]!.life, 1e6);
    const again = await begin('a', 1, 3);
    expect(await abandonedSeenBy(again)).toEqual(['key-1', 'key-9']);
    // What it held is free.
    expect(await again.store.leases.take('work', again.life, 1e6)).toBeDefined();
    expect([await lives[1]!.store.lives.beat(), await lives[0]!.store.lives.beat()]).toEqual([false, true]);
    const alone = await begin('a', 0, 1);
    expect(await abandonedSeenBy(alone)).toEqual(['key-0', 'key-1', 'key-2', 'key-9']);
    bench().database.administrate('update lives set heartbeat_at_ms = heartbeat_at_ms - 50000');
    expect(await abandonedSeenBy(alone)).not.toContain('key-3');
    bench().database.administrate('update lives set heartbeat_at_ms = heartbeat_at_ms - 20000');
    expect(await abandonedSeenBy(alone)).toContain('key-3');
    // Its own is not over for being silent, and a beat brings back whom nobody has buried.
    expect(await abandonedSeenBy(lives[3]!)).not.toContain('key-3');
    expect(await lives[3]!.store.lives.beat()).toBe(true);
    expect(await abandonedSeenBy(alone)).not.toContain('key-3');
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
    token.failure = new DaemonKeyMissing();
    const next = await bench().open();
    await expect(next.keys.find(key)).rejects.toBe(token.failure);
    await expect(next.keys.insert(sampleKey())).rejects.toMatchObject({ code: 'KMSInternalException' });
    expect(token.createCalls).toBe(2);
    expect(next.integrityFailures()).toEqual([]);
    token.failure = undefined;
    expect(await next.keys.find(key)).toEqual(key);
  });
}
