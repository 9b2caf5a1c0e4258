// What every store of keys and aliases must do, the one that unit tests keep in memory included: what was acknowledged is there, pages are complete, and
// concurrent writers lose nothing.
import { expect, it } from 'vitest';
import { BridgeError } from '../../src/kernel/errors.js';
import type { Key } from '../../src/model/key.js';
import type { Store } from '../../src/ports/store.js';
import { all } from './bench.js';
import { accountId, backingKey, ckaIdText, keyStore, region, sampleAlias, sampleKey, scope } from './samples.js';

/** `open` gives another gateway's store on the same rows. */
export function recordSuite(open: () => Promise<Store>): void {
  it('gives back what was written, also after a restart', async () => {
    const key = sampleKey({
      status: 'pendingDeletion',
      deletionAtMs: 1_722_470_499_999,
      pendingMaterialId: 'ab'.repeat(32),
      materialMissing: true,
      tags: [],
      description: '',
    });
    const creating = sampleKey({ status: 'creating', backingKeys: [] });
    const first = await open();
    await first.keys.insert(key);
    await first.keys.insert(creating);
    expect(await first.keys.find(key)).toEqual(key);
    await first.close();
    const second = await open();
    expect(await second.keys.find(key)).toEqual(key);
    expect(await second.keys.find(creating)).toEqual(creating);
    expect(await second.keys.findByMaterial(region, ckaIdText(key))).toEqual(key);
    expect(second.integrityFailures()).toEqual([]);
  });

  it('knows absent from present, and looks again for what was absent', async () => {
    const store = await open();
    const key = sampleKey();
    expect(await store.keys.find(key)).toBeUndefined();
    expect(await store.keys.findByMaterial(region, ckaIdText(key))).toBeUndefined();
    await store.keys.insert(key);
    expect(await store.keys.find(key)).toEqual(key);
    expect(await store.keys.findByMaterial(region, ckaIdText(key))).toEqual(key);
    expect(await store.keys.find({ ...key, accountId: '999999999999' })).toBeUndefined();
    expect(await store.keys.findByMaterial('us-east-1', ckaIdText(key))).toBeUndefined();
  });

  it('does not insert the same key or the same backing key twice', async () => {
    const store = await open();
    const key = sampleKey();
    await store.keys.insert(key);
    await expect(store.keys.insert({ ...key, description: 'other' })).rejects.toMatchObject({
      code: 'KMSInternalException',
    });
    const thief = sampleKey({ backingKeys: key.backingKeys });
    await expect(store.keys.insert(thief)).rejects.toBeInstanceOf(BridgeError);
    expect(await store.keys.find(thief)).toBeUndefined();
    expect(await store.keys.find(key)).toEqual(key);
    await store.keys.insert({ ...thief, backingKeys: [backingKey()] });
  });

  it('updates a key and follows its backing keys', async () => {
    const store = await open();
    const key = sampleKey();
    await store.keys.insert(key);
    await store.keys.findByMaterial(region, ckaIdText(key));
    const second = backingKey();
    const rotate = (k: Key): Key => ({ ...k, backingKeys: [...k.backingKeys, second] });
    const rotated = await store.keys.update(key, rotate);
    expect(rotated).toEqual(rotate(key));
    for (const { materialId } of rotated.backingKeys) {
      expect(await store.keys.findByMaterial(region, materialId.slice(0, 32))).toEqual(rotated);
    }
    const pruned = await store.keys.update(key, (k) => ({ ...k, backingKeys: [second] }));
    expect(await store.keys.findByMaterial(region, ckaIdText(key))).toBeUndefined();
    expect(await store.keys.findByMaterial(region, second.materialId.slice(0, 32))).toEqual(pruned);
    expect(await (await open()).keys.find(key)).toEqual(pruned);
  });

  it('writes nothing when the change throws, and says when the key is gone', async () => {
    const store = await open();
    const key = sampleKey();
    await store.keys.insert(key);
    const refused = store.keys.update(key, () => {
      throw new BridgeError('KMSInvalidStateException', 'no');
    });
    await expect(refused).rejects.toMatchObject({ code: 'KMSInvalidStateException' });
    await expect(store.keys.update(key, (k) => ({ ...k, keyId: 'another' }))).rejects.toBeInstanceOf(TypeError);
    expect(await (await open()).keys.find(key)).toEqual(key);
    const absent = store.keys.update({ ...scope, keyId: 'x' }, (k) => k);
    await expect(absent).rejects.toMatchObject({
      code: 'NotFoundException',
      publicMessage: `Key 'arn:aws:kms:${region}:${accountId}:key/x' does not exist`,
    });
  });

  it('loses no update of many at once from two gateways', async () => {
    const [one, two] = [await open(), await open()];
    const key = sampleKey({ tags: [] });
    await one.keys.insert(key);
    const names = Array.from({ length: 60 }, (_, n) => `tag-${String(n)}`);
    await Promise.all(
      names.map((name, n) =>
        (n % 2 === 0 ? one : two).keys.update(key, (k) => ({
          ...k,
          tags: [...k.tags, { TagKey: name, TagValue: '' }],
        })),
      ),
    );
    const stored = await (await open()).keys.find(key);
    expect(stored?.tags.map((tag) => tag.TagKey).sort()).toEqual(names.sort());
    expect((await one.keys.find(key))?.tags.length).toBeGreaterThan(0);
  });

  it('lists keys of one account by id, page by page, without unfinished ones', async () => {
    const store = await open();
    const keys = Array.from({ length: 7 }, () => sampleKey());
    const others = [
      sampleKey({ status: 'creating' }),
      sampleKey({ accountId: '999999999999' }),
      sampleKey({ region: 'us-east-1' }),
    ];
    for (const key of [...keys, ...others]) await store.keys.insert(key);
    const seen: string[] = [];
    for (let after: string | undefined; ;) {
      const page = await store.keys.list(scope, { after, limit: 3 });
      seen.push(...page);
      after = page.at(-1);
      if (page.length < 3) break;
    }
    expect(seen).toEqual(keys.map((key) => key.keyId).sort());
    expect(await store.keys.count(scope)).toBe(8);
  });

  it('finds the keys that jobs must look at', async () => {
    const store = await open();
    const ours = await store.lives.begin({ host: 'a', lane: 0, lanes: 1 });
    const due = sampleKey({ status: 'pendingDeletion', deletionAtMs: 1_000 });
    const later = sampleKey({ status: 'pendingDeletion', deletionAtMs: 1_001 });
    const begun = sampleKey({ status: 'deleting', deletionAtMs: 999 });
    const cancelled = sampleKey({ status: 'disabled', deletionAtMs: 1 });
    const creating = sampleKey({ status: 'creating', life: ours });
    const rotating = sampleKey({ pendingMaterialId: 'cd'.repeat(32), life: 'gone', accountId: '999999999999' });
    for (const key of [
      due,
      later,
      begun,
      cancelled,
      creating,
      rotating,
      sampleKey({ region: 'us-east-1', status: 'creating', life: 'gone' }),
    ]) {
      await store.keys.insert(key);
    }
    expect(await all(store.keys.due(keyStore, 1_000))).toEqual([begun, due]);
    expect(await all(store.keys.unsettled(keyStore, 'abandoned'))).toEqual([rotating]);
    expect(await all(store.keys.unsettled(keyStore, 'all'))).toHaveLength(2);
  });

  it('removes a key with its aliases and its backing keys', async () => {
    const store = await open();
    const key = sampleKey();
    await store.keys.insert(key);
    await store.aliases.insert(sampleAlias(key.keyId));
    expect(await store.aliases.find(scope, 'alias/payroll')).toBeDefined();
    await store.keys.findByMaterial(region, ckaIdText(key));
    await store.keys.remove(key);
    expect(await store.keys.find(key)).toBeUndefined();
    expect(await store.keys.findByMaterial(region, ckaIdText(key))).toBeUndefined();
    expect(await store.aliases.find(scope, 'alias/payroll')).toBeUndefined();
    await store.keys.remove(key);
  });

  it('keeps aliases of one account by name', async () => {
    const store = await open();
    const [a, b] = [sampleKey(), sampleKey()];
    await store.keys.insert(a);
    await store.keys.insert(b);
    const names = ['alias/B', 'alias/a', 'alias/a-1', 'alias/a/b', 'alias/c'];
    for (const [n, aliasName] of names.entries()) {
      await store.aliases.insert(sampleAlias(n === 2 ? b.keyId : a.keyId, { aliasName }));
    }
    const listed = await store.aliases.list(scope, undefined, { after: undefined, limit: 10 });
    expect(listed.map((alias) => alias.aliasName)).toEqual([...names].sort());
    const ofA = await store.aliases.list(scope, a.keyId, { after: 'alias/B', limit: 2 });
    expect(ofA.map((alias) => alias.aliasName)).toEqual(['alias/a', 'alias/a/b']);
    expect(await store.aliases.countOf(a)).toBe(4);
    expect(await store.aliases.find({ ...scope, accountId: '999999999999' }, 'alias/a')).toBeUndefined();
  });

  it('creates, points and removes an alias with the texts of AWS', async () => {
    const store = await open();
    const [a, b] = [sampleKey(), sampleKey()];
    await store.keys.insert(a);
    await store.keys.insert(b);
    const alias = sampleAlias(a.keyId);
    const arn = `arn:aws:kms:${region}:${accountId}:alias/payroll`;
    await expect(store.aliases.update(alias, a.keyId)).rejects.toMatchObject({
      code: 'NotFoundException',
      publicMessage: `Alias ${arn} is not found.`,
    });
    await store.aliases.insert(alias);
    expect(await store.aliases.find(scope, alias.aliasName)).toEqual(alias);
    await expect(store.aliases.insert({ ...alias, keyId: b.keyId })).rejects.toMatchObject({
      code: 'AlreadyExistsException',
      publicMessage: `An alias with the name ${arn} already exists`,
    });
    const toB = { ...alias, keyId: b.keyId, createdAtMs: 1, updatedAtMs: 5 };
    await store.aliases.update(toB, a.keyId);
    expect(await store.aliases.find(scope, alias.aliasName)).toEqual({ ...alias, keyId: b.keyId, updatedAtMs: 5 });
    const toNowhere = store.aliases.update({ ...alias, keyId: 'x' }, b.keyId);
    await expect(toNowhere).rejects.toMatchObject({ code: 'NotFoundException' });
    const ofNothing = store.aliases.insert(sampleAlias('x', { aliasName: 'alias/x' }));
    await expect(ofNothing).rejects.toMatchObject({ code: 'NotFoundException' });
    // Who was authorized for the key it pointed at before is not authorized for this one.
    const late = [store.aliases.update(alias, a.keyId), store.aliases.remove(scope, alias.aliasName, a.keyId)];
    for (const refused of late) await expect(refused).rejects.toMatchObject({ code: 'KMSInternalException' });
    expect(await store.aliases.find(scope, alias.aliasName)).toMatchObject({ keyId: b.keyId });
    await store.aliases.remove(scope, alias.aliasName, b.keyId);
    expect(await store.aliases.find(scope, alias.aliasName)).toBeUndefined();
    await expect(store.aliases.remove(scope, alias.aliasName, b.keyId)).rejects.toMatchObject({
      publicMessage: `Alias ${arn} is not found.`,
    });
  });
}
