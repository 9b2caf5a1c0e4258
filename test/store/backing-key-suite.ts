// Rows of backing keys have no seal: each change by another hand, and each row put back, is seen by the key that they belong to.
import { expect, it } from 'vitest';
import type { Key } from '../../src/model/key.js';
import type { Store } from '../../src/ports/store.js';
import { encodeRow } from '../../src/store/seal.js';
import { keyColumns, keys } from '../../src/store/key-row.js';
import { all, everyKey, putIn, type Bench } from './bench.js';
import { accountId, backingKey, ckaIdText, region, sampleKey, keyStore } from './samples.js';

const refusal = {
  code: 'KMSInternalException',
  publicMessage: 'The stored record failed its integrity check.',
};
const [first, second] = [backingKey('1a'.repeat(32)), backingKey('2b'.repeat(32))];
const mine = sampleKey({ keyId: '11111111-1111-4111-8111-111111111111', backingKeys: [first] });
const theirs = sampleKey({ keyId: '22222222-2222-4222-8222-222222222222' });
const bystander = sampleKey({ keyId: '33333333-3333-4333-8333-333333333333' });
const rotated: Key = { ...mine, backingKeys: [first, second] };
const ofMine = `where key_id = '${mine.keyId}'`;
const ofTheirs = `where key_id = '${theirs.keyId}'`;

/** A key of two generations, and two of one. */
async function fill(bench: Bench): Promise<Store> {
  const store = await bench.open();
  for (const key of [mine, theirs, bystander]) await store.keys.insert(key);
  await store.keys.update(mine, () => rotated);
  for (const key of [rotated, theirs, bystander]) {
    expect(await store.keys.find(key)).toEqual(key);
    expect(await store.keys.findByMaterial(region, ckaIdText(key))).toEqual(key);
  }
  return store;
}

const columns = 'region, account_id, key_id, generation, cka_id, material_id, strategy, created_at_ms';
const copy = (generation: string, ckaId: string, owner = 'key_id') =>
  `insert into backing_keys (${columns}) select region, account_id, ${owner}, ${generation}, ${ckaId}, material_id, strategy, created_at_ms
   from backing_keys ${ofMine} and generation = 2`;

/** Each is one statement or more; afterwards `mine` is useless, and `theirs` too where it was touched. */
const changes: Record<string, readonly string[]> = {
  'the time of creation': [`update backing_keys set created_at_ms = created_at_ms + 1 ${ofMine} and generation = 1`],
  'the material': [`update backing_keys set material_id = '${'3c'.repeat(32)}' ${ofMine} and generation = 2`],
  'the CKA_ID': [`update backing_keys set cka_id = '${'3c'.repeat(16)}' ${ofMine} and generation = 2`],
  'the strategy': [`update backing_keys set strategy = null ${ofMine} and generation = 2`],
  'a number left out': [`update backing_keys set generation = 3 ${ofMine} and generation = 2`],
  'another order': [
    `update backing_keys set generation = 3 ${ofMine} and generation = 1`,
    `update backing_keys set generation = 1 ${ofMine} and generation = 2`,
    `update backing_keys set generation = 2 ${ofMine} and generation = 3`,
  ],
  'the older one taken away': [`delete from backing_keys ${ofMine} and generation = 1`],
  'the newer one taken away': [`delete from backing_keys ${ofMine} and generation = 2`],
  'all taken away': [`delete from backing_keys ${ofMine}`],
  'one twice': [copy('3', `'${'3c'.repeat(16)}'`)],
  'more than any key has': [
    `with recursive n (i) as (select 3 union all select i + 1 from n where i < 3000)
     insert into backing_keys (${columns}) select region, account_id, key_id, i, printf('%032x', i), material_id, strategy, created_at_ms
     from n, (select * from backing_keys ${ofMine} and generation = 2)`,
  ],
  'one given to another key': [
    `update backing_keys set key_id = '${theirs.keyId}', generation = 2 ${ofMine} and generation = 2`,
  ],
  'one given to another key in the place of its own': [
    `delete from backing_keys ${ofTheirs}`,
    `update backing_keys set key_id = '${theirs.keyId}', generation = 1 ${ofMine} and generation = 2`,
  ],
  'exchanged with another key': [
    `update backing_keys set key_id = 'neither' ${ofMine} and generation = 1`,
    `update backing_keys set key_id = '${mine.keyId}' ${ofTheirs}`,
    `update backing_keys set key_id = '${theirs.keyId}' where key_id = 'neither'`,
  ],
  'given to another account': [`update backing_keys set account_id = '999999999999' ${ofMine}`],
};

export function backingKeySuite(bench: () => Bench): void {
  const name = (key: Key): string => `backing_keys:${region}/${accountId}/${key.keyId}`;

  it.each(Object.entries(changes))(
    'refuses a key whose backing keys were changed by hand: %s',
    async (_what, change) => {
      const running = await fill(bench());
      for (const statement of change) bench().database.administrate(statement);
      bench().passTime();
      const touched = change.some((statement) => statement.includes(theirs.keyId)) ? [mine, theirs] : [mine];
      for (const store of [running, await bench().open()]) {
        for (const key of touched) {
          await expect(store.keys.find(key)).rejects.toMatchObject(refusal);
          await expect(store.keys.update(key, (row) => row)).rejects.toMatchObject(refusal);
        }
        // Whoever a row says it belongs to.
        for (const { materialId } of [first, second]) {
          const found = store.keys.findByMaterial(region, materialId.slice(0, 32));
          expect(await found.catch((error: unknown) => error)).not.toMatchObject({
            keyId: expect.anything() as unknown,
          });
        }
        expect((await everyKey(store, region)).map(({ keyId }) => keyId)).not.toContain(mine.keyId);
        expect([...store.integrityFailures()].sort()).toEqual(touched.map(name));
        expect(await store.keys.find(bystander)).toEqual(bystander);
        expect(await store.keys.findByMaterial(region, ckaIdText(bystander))).toEqual(bystander);
      }
      const looking = await bench().open();
      await all(looking.keys.checkSeals(region));
      expect([...looking.integrityFailures()].sort()).toEqual(touched.map(name));
      await running.keys.remove(mine);
      const left = `select * from backing_keys ${ofMine} and account_id = '${accountId}'`;
      expect(bench().database.administrate(left)).toEqual([]);
    },
  );

  it('takes no key back without its backing keys, nor backing keys without their key', async () => {
    const store = await bench().open();
    await store.keys.insert({ ...mine, status: 'creating', backingKeys: [], pendingMaterialId: first.materialId });
    const states: Record<'key' | 'backing', Record<string, unknown>[]>[] = [];
    const keep = () =>
      states.push({
        key: bench().database.administrate(`select * from keys ${ofMine}`),
        backing: bench().database.administrate(`select * from backing_keys ${ofMine}`),
      });
    keep();
    await store.keys.update(mine, () => mine);
    keep();
    await store.keys.update(mine, () => rotated);
    keep();
    for (const [n, { key }] of states.entries()) {
      for (const [m, { backing }] of states.entries()) {
        bench().database.administrate(`delete from backing_keys ${ofMine}`);
        for (const row of key) putIn(bench(), 'keys', row);
        for (const row of backing) putIn(bench(), 'backing_keys', row);
        // Of another process: this one knows the newest row.
        const other = await bench().open();
        if (n === m) expect((await other.keys.find(mine))?.backingKeys).toHaveLength(n);
        else await expect(other.keys.find(mine)).rejects.toMatchObject(refusal);
        // A row that says its key is being made, beside material that it has: nobody settles it.
        if (n !== m) expect(await all(other.keys.unsettled(keyStore, 'all'))).toEqual([]);
      }
    }
  });

  it('serves again what was put right', async () => {
    const store = await fill(bench());
    const rows = bench().database.administrate(`select * from backing_keys ${ofMine}`);
    bench().database.administrate(`delete from backing_keys ${ofMine}`);
    bench().passTime();
    await expect(store.keys.find(mine)).rejects.toMatchObject(refusal);
    for (const row of rows) putIn(bench(), 'backing_keys', row);
    bench().passTime();
    expect(await store.keys.find(mine)).toEqual(rotated);
  });

  it('takes no change of another gateway for another hand', async () => {
    const [one, two] = [await bench().open({ shared: true }), await bench().open({ shared: true })];
    await one.keys.insert(mine);
    for (let n = 0; n < 20; n++) {
      const further = backingKey();
      const change = one.keys.update(mine, (key) => ({ ...key, backingKeys: [...key.backingKeys, further] }));
      const looks = Array.from({ length: 5 }, () => two.keys.find(mine));
      await Promise.all([change, ...looks]);
      expect((await two.keys.findByMaterial(region, further.materialId.slice(0, 32)))?.backingKeys).toHaveLength(n + 2);
    }
    expect(bench().broken).toEqual([]);
  });

  it('writes them with the key only when they change, and asks the token once for all of them', async () => {
    const store = await fill(bench());
    const other = await bench().open();
    const token = bench().tokens.of(region);
    const before = token.sealCalls;
    expect(await other.keys.find(mine)).toEqual(rotated);
    expect(token.sealCalls - before).toBe(1);
    bench().database.administrate(`update backing_keys set rowid = rowid + 1000 ${ofMine}`);
    await store.keys.update(mine, (key) => ({ ...key, description: 'other' }));
    const rows = bench().database.administrate(`select rowid, generation from backing_keys ${ofMine}`);
    expect(rows.map(({ rowid }) => Number(rowid) > 1000)).toEqual([true, true]);
  });

  describeEarlierRows(bench);
}

/** A key as version 0.1 wrote it: its row says by itself what its backing keys are. */
function describeEarlierRows(bench: () => Bench): void {
  async function earlier(): Promise<Store> {
    const store = await fill(bench());
    const row = {
      ...keyColumns(rotated, 7),
      generations: null,
      backing_keys: JSON.stringify(rotated.backingKeys),
    };
    putIn(bench(), 'keys', { ...row, seal: bench().tokens.of(region).hmac(encodeRow(keys, row)) });
    bench().passTime();
    return store;
  }

  it('opens a row of version 0.1, and seals its backing keys when it is next changed', async () => {
    const store = await earlier();
    expect(await store.keys.find(mine)).toEqual(rotated);
    expect(await (await bench().open()).keys.find(mine)).toEqual(rotated);
    const disabled = await store.keys.update(mine, (key) => ({ ...key, status: 'disabled' }));
    expect(disabled).toEqual({ ...rotated, status: 'disabled' });
    const [row] = bench().database.administrate(`select generations, backing_keys from keys ${ofMine}`);
    expect(row).toEqual({ generations: expect.any(Buffer) as unknown, backing_keys: '[]' });
    expect(await (await bench().open()).keys.find(mine)).toEqual(disabled);
    expect(bench().broken).toEqual([]);
  });

  it.each([
    ['its list', 'keys', `update keys set backing_keys = '[]' ${ofMine}`],
    ['a row taken away', 'backing_keys', `delete from backing_keys ${ofMine} and generation = 1`],
    ['a row changed', 'backing_keys', `update backing_keys set created_at_ms = 1 ${ofMine} and generation = 1`],
    ['a digest given to it', 'keys', `update keys set generations = x'00' ${ofMine}`],
  ])('refuses a row of version 0.1 that was changed by hand: %s', async (_what, table, change) => {
    const running = await earlier();
    expect(await running.keys.find(mine)).toEqual(rotated);
    bench().database.administrate(change);
    bench().passTime();
    for (const store of [running, await bench().open()]) {
      await expect(store.keys.find(mine)).rejects.toMatchObject(refusal);
      expect(store.integrityFailures()).toEqual([`${table}:${region}/${accountId}/${mine.keyId}`]);
    }
  });
}
