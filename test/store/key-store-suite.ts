// Which key store a key is in is sealed with it, and lists are of one key store each.
import { expect, it } from 'vitest';
import { ckaIdOf, type Key } from '../../src/model/key.js';
import type { KeyStoreRef } from '../../src/model/key-store.js';
import type { Store } from '../../src/ports/store.js';
import { FakeToken } from '../support/fake-token.js';
import { all, type Bench } from './bench.js';
import { accountId, backingKey, ckaIdText, keyStore, region, sampleKey } from './samples.js';

const refusal = { code: 'KMSInternalException', publicMessage: 'The stored record failed its integrity check.' };
const archive: KeyStoreRef = { region, keyStore: 'archive' };
const spare: KeyStoreRef = { region, keyStore: 'spare' };
const here = sampleKey({ keyId: '11111111-1111-4111-8111-111111111111' });
const there = sampleKey({
  ...archive,
  keyId: '22222222-2222-4222-8222-222222222222',
  backingKeys: [backingKey(), backingKey()],
});
const ofHere = `where key_id = '${here.keyId}'`;
const ofThere = `where key_id = '${there.keyId}'`;

async function fill(bench: Bench): Promise<Store> {
  bench.tokens.furtherKeyStores = ['archive', 'spare'];
  const store = await bench.open();
  for (const key of [here, there]) await store.keys.insert(key);
  return store;
}

/** Each is a statement for each table. */
const changes: Record<string, [Key, readonly string[]]> = {
  'to the default one': [
    there,
    [`update keys set key_store = null ${ofThere}`, `update backing_keys set key_store = null ${ofThere}`],
  ],
  'to another': [
    there,
    [`update keys set key_store = 'spare' ${ofThere}`, `update backing_keys set key_store = 'spare' ${ofThere}`],
  ],
  'from the default one': [
    here,
    [`update keys set key_store = 'archive' ${ofHere}`, `update backing_keys set key_store = 'archive' ${ofHere}`],
  ],
  'of the key alone': [there, [`update keys set key_store = 'spare' ${ofThere}`]],
  'of a backing key alone': [there, [`update backing_keys set key_store = 'spare' ${ofThere} and generation = 1`]],
};

export function keyStoreSuite(bench: () => Bench): void {
  const ids = async (keys: AsyncIterable<Key>): Promise<string[]> => (await all(keys)).map(({ keyId }) => keyId);

  it('keeps the key store with a key, and with what it is given later', async () => {
    const store = await fill(bench());
    const further = backingKey();
    const changed = await store.keys.update(there, (key) => ({ ...key, backingKeys: [...key.backingKeys, further] }));
    for (const each of [store, await bench().open()]) {
      expect(await each.keys.find(there)).toEqual(changed);
      expect((await each.keys.find(there))?.keyStore).toBe('archive');
      expect(await each.keys.find(here)).toEqual(here);
      expect(await each.keys.findByMaterial(region, further.materialId.slice(0, 32), accountId)).toEqual(changed);
    }
    const rows = bench().database.administrate(`select key_store from backing_keys ${ofThere}`);
    expect(rows.map(({ key_store }) => key_store)).toEqual(['archive', 'archive', 'archive']);
    for (const other of [keyStore, spare])
      await expect(store.keys.update(there, (key) => ({ ...key, ...other }))).rejects.toThrow(TypeError);
  });

  it.each(Object.entries(changes))(
    'refuses a key whose key store was changed by hand %s',
    async (_what, [key, statements]) => {
      const running = await fill(bench());
      for (const statement of statements) bench().database.administrate(statement);
      bench().passTime();
      for (const store of [running, await bench().open()]) {
        await expect(store.keys.find(key)).rejects.toMatchObject(refusal);
        await expect(store.keys.update(key, (row) => row)).rejects.toMatchObject(refusal);
        for (const place of [keyStore, archive, spare])
          expect(await ids(store.keys.owners(place, [ckaIdText(key)]))).toEqual([]);
      }
    },
  );

  it('tells a token from every other by keys of its own, made before the first row names it', async () => {
    const store = await fill(bench());
    const { tokens } = bench();
    const right = tokens.of(archive);
    expect([right.createCalls, tokens.of(region).createCalls]).toEqual([1, 1]);
    const places = [keyStore, archive, spare];
    const wrong = () => Promise.all(places.map((place) => store.wrongToken(place)));
    expect(await wrong()).toEqual([undefined, undefined, undefined]);
    expect(bench().database.administrate('select region from tokens order by region')).toEqual([
      { region },
      { region: `${region}/archive` },
    ]);
    // The two exchanged, and an empty one.
    for (const other of [tokens.of(region), new FakeToken()]) {
      tokens.put(archive, other);
      expect(await store.wrongToken(archive)).toBe(
        `the token of ${region}/archive does not hold the daemon's own keys; those were made in the token with serial 4711`,
      );
      const again = await bench().open();
      const refused = again.keys.insert(sampleKey(archive));
      await expect(refused).rejects.toMatchObject({ code: 'KMSInternalException' });
      expect(await again.keys.find(there)).toEqual(there);
    }
    tokens.put(archive, right);
    expect(await wrong()).toEqual([undefined, undefined, undefined]);
    bench().database.administrate('delete from tokens');
    const unrecorded = (await bench().open()).keys.insert(sampleKey(archive));
    await expect(unrecorded).rejects.toMatchObject({ code: 'KMSInternalException' });
  });

  it('lists each key store by itself', async () => {
    const store = await fill(bench());
    const [unfinished, due] = [
      sampleKey({ ...archive, status: 'creating', backingKeys: [], pendingMaterialId: 'ab'.repeat(32) }),
      sampleKey({ ...archive, status: 'pendingDeletion', deletionAtMs: 5, materialMissing: true }),
    ];
    for (const key of [unfinished, due]) await store.keys.insert(key);
    expect(await ids(store.keys.unsettled(archive, 'all'))).toEqual([unfinished.keyId]);
    expect(await ids(store.keys.due(archive, 10))).toEqual([due.keyId]);
    expect(await ids(store.keys.withoutMaterial(archive))).toEqual([due.keyId]);
    for (const place of [keyStore, spare]) {
      expect(await ids(store.keys.unsettled(place, 'all'))).toEqual([]);
      expect(await ids(store.keys.due(place, 10))).toEqual([]);
      expect(await ids(store.keys.withoutMaterial(place))).toEqual([]);
    }
    const inHere = ckaIdText(here);
    const inThere = there.backingKeys.map(({ materialId }) => ckaIdOf(materialId).toString('hex'));
    const places = (await all(store.keys.materials(region))).flat();
    expect(places).toEqual(
      [
        { ckaId: inHere, keyStore: undefined },
        ...[...inThere, ckaIdText(due)].map((ckaId) => ({ ckaId, keyStore: 'archive' })),
      ].sort((a, b) => (a.ckaId < b.ckaId ? -1 : 1)),
    );
    const asked = [inHere, ...inThere];
    expect(await store.keys.named(keyStore, asked)).toEqual(new Set([inHere]));
    expect(await store.keys.named(archive, asked)).toEqual(new Set(inThere));
    expect(await store.keys.named(spare, asked)).toEqual(new Set());
    expect(await ids(store.keys.owners(keyStore, asked))).toEqual([here.keyId]);
    expect(await ids(store.keys.owners(archive, asked))).toEqual([there.keyId]);
  });
}
