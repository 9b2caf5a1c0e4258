// The cache: hits cost nothing, nothing stale outlives a change by this process or, beyond the next look, by another.
import { expect, it, vi } from 'vitest';
import { Secret } from '../../src/kernel/secret.js';
import type { Bench } from './bench.js';
import { accountId, ckaIdText, region, sampleAlias, sampleKey, scope } from './samples.js';

/** Begins the reads of one row, which they share; resolves when the token holds it, until `open`. Later reads pass. */
async function heldReads<T>(
  bench: Bench,
  ...reads: readonly (() => Promise<T>)[]
): Promise<{ readonly early: readonly Promise<T>[]; readonly open: () => void }> {
  const token = bench.tokens.of(region);
  let open: () => void = () => undefined;
  token.gate = new Promise<void>((resolve) => (open = resolve));
  const held = token.sealCalls + 1;
  const early = reads.map((read) => read());
  await vi.waitUntil(() => token.sealCalls >= held);
  token.gate = undefined;
  return { early, open };
}

export function cacheSuite(bench: () => Bench): void {
  it('asks the token once for a row and serves hits without it', async () => {
    const store = await bench().open();
    const key = sampleKey();
    await store.keys.insert(key);
    await store.aliases.insert(sampleAlias(key.keyId));
    await store.credentials.insert({ accessKeyId: 'AKIAONE', accountId, secretAccessKey: new Secret('s') });
    const reads = () =>
      Promise.all([
        store.keys.find(key),
        store.keys.findByMaterial(region, ckaIdText(key)),
        store.aliases.find(scope, 'alias/payroll'),
        store.credentials.find('AKIAONE'),
      ]);
    const first = await reads();
    const token = bench().tokens.of(region);
    const [seals, decrypts] = [token.sealCalls, token.decryptCalls];
    const second = await reads();
    expect(second.every((value, n) => value === first[n])).toBe(true);
    expect(store.keys.find(key)).toBe(store.keys.find(key));
    expect([token.sealCalls, token.decryptCalls]).toEqual([seals, decrypts]);
    // A hand of nobody's empties the cache, but no unchanged row goes to the token again.
    bench().database.administrate('delete from usage');
    bench().passTime();
    const third = await reads();
    expect(third.every((value, n) => value === first[n])).toBe(true);
    expect([token.sealCalls, token.decryptCalls]).toEqual([seals, decrypts]);
  });

  it('forgets for another gateway what that has changed, and nothing else', async () => {
    const [one, two] = [await bench().open(), await bench().open()];
    const [a, b] = [sampleKey(), sampleKey()];
    for (const key of [a, b]) await one.keys.insert(key);
    await one.aliases.insert(sampleAlias(a.keyId));
    await one.credentials.insert({ accessKeyId: 'AKIAONE', accountId, secretAccessKey: new Secret('s') });
    const readsOfTwo = async (): Promise<number> => {
      const { reads } = two.cache();
      bench().passTime();
      await two.keys.find(a);
      await two.keys.find(b);
      await two.keys.findByMaterial(region, ckaIdText(b));
      await two.aliases.find(scope, 'alias/payroll');
      await two.credentials.find('AKIAONE');
      return two.cache().reads - reads;
    };
    expect([await readsOfTwo(), await readsOfTwo()]).toEqual([5, 0]);
    const all = two.cache().all;
    await one.leases.take('x', 'y', 1);
    await one.usage.reserve('aa', 1);
    await one.keys.insert(sampleKey());
    expect(await readsOfTwo()).toBe(0);
    await one.keys.update(a, (key) => ({ ...key, description: 'a' }));
    expect(await readsOfTwo()).toBe(1);
    // Whose its backing key is has not changed.
    await one.keys.update(b, (key) => ({ ...key, description: 'b' }));
    expect(await readsOfTwo()).toBe(1);
    await one.keys.remove(a);
    // What is not there is asked for again each time.
    expect([await readsOfTwo(), await readsOfTwo()]).toEqual([2, 2]);
    expect(two.cache().all).toBe(all);
    bench().database.administrate('delete from usage');
    await readsOfTwo();
    expect(two.cache().all).toBe(all + 1);
  });

  it('shares one read among all who wait for it', async () => {
    await (await bench().open()).keys.insert(sampleKey({ keyId: 'k' }));
    const store = await bench().open();
    const token = bench().tokens.of(region);
    const before = token.sealCalls;
    const found = await Promise.all(Array.from({ length: 20 }, () => store.keys.find({ ...scope, keyId: 'k' })));
    expect(new Set(found).size).toBe(1);
    expect(token.sealCalls - before).toBe(1);
  });

  it('serves no read that began before a change of this process', async () => {
    const key = sampleKey();
    await (await bench().open()).keys.insert(key);
    const store = await bench().open();
    const { early, open } = await heldReads(
      bench(),
      () => store.keys.find(key),
      () => store.keys.findByMaterial(region, ckaIdText(key)),
    );
    const changed = await store.keys.update(key, (k) => ({ ...k, status: 'disabled' }));
    const late = store.keys.find(key);
    open();
    expect(await late).toEqual(changed);
    expect(await Promise.all(early)).toEqual([changed, changed]);
    expect(await store.keys.find(key)).toEqual(changed);
  });

  it('serves no read that began before a change of another gateway was noticed', async () => {
    const key = sampleKey();
    const other = await bench().open();
    await other.keys.insert(key);
    const store = await bench().open();
    const { early, open } = await heldReads(bench(), () => store.keys.find(key));
    await other.keys.remove(key);
    bench().passTime();
    const late = store.keys.find(key);
    open();
    expect(await Promise.all(early)).toEqual([undefined]);
    expect(await late).toBeUndefined();
  });

  it('sees what another gateway changed as soon as it is time to look', async () => {
    const [one, two] = [await bench().open(), await bench().open()];
    const key = sampleKey();
    await one.keys.insert(key);
    await one.aliases.insert(sampleAlias(key.keyId));
    expect(await two.keys.find(key)).toEqual(key);
    expect(await two.keys.findByMaterial(region, ckaIdText(key))).toEqual(key);
    expect(await two.aliases.find(scope, 'alias/payroll')).toBeDefined();
    const disabled = await one.keys.update(key, (k) => ({ ...k, status: 'disabled' }));
    await one.aliases.remove(scope, 'alias/payroll', key.keyId);
    bench().passTime();
    expect(await two.keys.find(key)).toEqual(disabled);
    expect(await two.keys.findByMaterial(region, ckaIdText(key))).toEqual(disabled);
    expect(await two.aliases.find(scope, 'alias/payroll')).toBeUndefined();
    await two.keys.remove(key);
    bench().passTime();
    expect(await one.keys.find(key)).toBeUndefined();
    expect(await one.keys.findByMaterial(region, ckaIdText(key))).toBeUndefined();
  });

  it('serves nothing that another gateway changed before it was asked, with no time between', async () => {
    const stores = [await bench().open({ shared: true }), await bench().open({ shared: true })] as const;
    const key = sampleKey();
    await stores[0].keys.insert(key);
    const stale: string[] = [];
    for (let n = 0; n < 50; n++) {
      const [writer, reader] = n % 2 === 0 ? stores : ([stores[1], stores[0]] as const);
      const [before] = [await reader.keys.find(key), await reader.keys.findByMaterial(region, ckaIdText(key))];
      // Held already: a hit that would not look gives the same object again.
      expect(await reader.keys.find(key)).toBe(before);
      const description = `change ${String(n)}`;
      await writer.keys.update(key, (k) => ({ ...k, description }));
      const found = [await reader.keys.findByMaterial(region, ckaIdText(key)), await reader.keys.find(key)];
      stale.push(...found.map((k) => k?.description ?? 'absent').filter((text) => text !== description));
    }
    expect(stale).toEqual([]);
    await stores[0].aliases.insert(sampleAlias(key.keyId));
    expect(await stores[1].aliases.find(scope, 'alias/payroll')).toBeDefined();
    await stores[0].keys.remove(key);
    expect(await stores[1].aliases.find(scope, 'alias/payroll')).toBeUndefined();
    expect(await stores[1].keys.find(key)).toBeUndefined();
  });

  it('looks by itself, both ways', async () => {
    const [one, two] = [await bench().open({ pollMs: 50 }), await bench().open({ pollMs: 50 })];
    const key = sampleKey();
    await one.keys.insert(key);
    expect(await two.keys.find(key)).toEqual(key);
    await one.keys.update(key, (k) => ({ ...k, description: 'one' }));
    await vi.waitFor(async () => expect((await two.keys.find(key))?.description).toBe('one'), 20_000);
    await two.keys.update(key, (k) => ({ ...k, description: 'two' }));
    await vi.waitFor(async () => expect((await one.keys.find(key))?.description).toBe('two'), 20_000);
  });

  it('does not keep a failed read', async () => {
    const key = sampleKey();
    await (await bench().open()).keys.insert(key);
    const store = await bench().open();
    const token = bench().tokens.of(region);
    token.gate = Promise.reject(new Error('token away'));
    await expect(store.keys.find(key)).rejects.toThrow('token away');
    token.gate = undefined;
    expect(await store.keys.find(key)).toEqual(key);
  });

  it('hands out what nobody can change', async () => {
    const store = await bench().open();
    const key = sampleKey();
    await store.keys.insert(key);
    const found = await store.keys.find(key);
    expect(() => Object.assign(found!, { status: 'disabled' })).toThrow(TypeError);
    expect(() => Object.assign(found!.tags[0]!, { TagValue: '' })).toThrow(TypeError);
  });
}
