// Who can write the database cannot give himself a key: each change by another hand is refused and named.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Secret } from '../../src/kernel/secret.js';
import type { Store } from '../../src/ports/store.js';
import { backingKeys } from '../../src/store/backing-keys.js';
import { sealedTables } from '../../src/store/tables.js';
import { all, everyKey, putIn, type Bench } from './bench.js';
import { FakeTokens } from '../support/fake-token.js';
import { accountId, backingKey, ckaIdText, region, sampleAlias, sampleKey, scope, keyStore } from './samples.js';

const refusal = {
  code: 'KMSInternalException',
  publicMessage: 'The stored record failed its integrity check.',
};
const mine = sampleKey({ keyId: '11111111-1111-4111-8111-111111111111' });
const theirs = sampleKey({ keyId: '22222222-2222-4222-8222-222222222222', status: 'pendingDeletion', deletionAtMs: 5 });
const alias = sampleAlias(mine.keyId);
const credentials = ['AKIAONE', 'AKIATWO'].map((accessKeyId) => ({
  accessKeyId,
  accountId: accessKeyId === 'AKIAONE' ? accountId : '999999999999',
  secretAccessKey: new Secret(`secret of ${accessKeyId}`),
}));

const keyRow = `keys:${region}/${accountId}/${mine.keyId}`;
const thatKey = `where key_id = '${mine.keyId}'`;
const setKey = (column: string, value: string) => `update keys set ${column} = ${value} ${thatKey}`;

/** Column by column, each sealed one is there. */
const keyChanges: Record<string, string> = {
  policy: setKey('policy', `'{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}'`),
  'policy, one blank more': setKey('policy', `policy || ' '`),
  status: setKey('status', `'disabled'`),
  'missing material': setKey('material_missing', '1'),
  spec: setKey('spec', `'RSA_2048'`),
  usage: setKey('usage', `'SIGN_VERIFY'`),
  description: setKey('description', `''`),
  'time of creation': setKey('created_at_ms', 'created_at_ms + 1'),
  'time of deletion': setKey('deletion_at_ms', '0'),
  tags: setKey('tags', `'[]'`),
  'backing keys as version 0.1 had them': setKey('backing_keys', `'[{}]'`),
  'digest of the backing keys': setKey(
    'generations',
    `(select generations from keys where key_id = '${theirs.keyId}')`,
  ),
  'no digest of the backing keys': setKey('generations', 'null'),
  'a policy larger than any': setKey('policy', `'${'x'.repeat(300_000)}'`),
  'pending material': setKey('pending_material_id', `''`),
  incarnation: setKey('incarnation', '1'),
  life: setKey('life', `'other'`),
  'no life': setKey('life', 'null'),
  version: setKey('version', 'version + 1'),
  seal: setKey('seal', `x'00'`),
  'seal of another row': setKey('seal', `(select seal from keys where key_id = '${theirs.keyId}')`),
  'copy of another row': `update keys set (status, description, policy, tags, generations, deletion_at_ms, seal, version, life) =
    (select status, description, policy, tags, generations, deletion_at_ms, seal, version, life
     from keys where key_id = '${theirs.keyId}') ${thatKey}`,
};

async function fill(bench: Bench): Promise<Store> {
  const store = await bench.open();
  for (const key of [mine, theirs]) await store.keys.insert(key);
  await store.aliases.insert(alias);
  for (const credential of credentials) {
    await store.credentials.insert(credential);
    await store.credentials.find(credential.accessKeyId);
  }
  expect(await store.keys.find(mine)).toEqual(mine);
  expect(await store.aliases.find(scope, alias.aliasName)).toEqual(alias);
  return store;
}

export function sealSuite(bench: () => Bench): void {
  keyTampering(bench);
  otherTampering(bench);

  it("makes seals that anyone with the token's key can recompute from the format's page", async () => {
    await fill(bench());
    const token = bench().tokens.of(region);
    const { database } = bench();
    const { backing_keys: columnsOfBackingKeys = [], ...order } = columnsOfThePage();
    expect(Object.keys(order).sort()).toEqual(sealedTables.map(({ name }) => name).sort());
    expect(columnsOfBackingKeys).toEqual(Object.keys(backingKeys.columns));
    let rows = 0;
    for (const [table, columns] of Object.entries(order)) {
      for (const row of database.administrate(`select * from ${table}`)) {
        expect(row['seal']).toEqual(token.hmac(encodeByThePage(table, columns, row)));
        expect(Object.keys(row).sort()).toEqual([...columns, 'seal'].sort());
        rows++;
      }
    }
    expect(rows).toBe(5);
    for (const { key_id: keyId, generations } of database.administrate('select * from keys')) {
      const digest = createHash('sha256');
      const text = 'select * from backing_keys where key_id = ? order by generation';
      const ofKey = database.administrate(text, String(keyId));
      expect(ofKey.length).toBeGreaterThan(0);
      for (const row of ofKey) {
        const encoded = encodeByThePage('backing_keys', columnsOfBackingKeys, row).toString('hex');
        digest.update(Buffer.from((encoded.length / 2).toString(16).padStart(8, '0') + encoded, 'hex'));
      }
      expect(generations).toEqual(digest.digest());
    }
  });

  it('knows the token that it was sealed with from any other', async () => {
    const store = await bench().open();
    expect(await store.wrongToken(keyStore)).toBeUndefined();
    await fill(bench());
    expect(await store.wrongToken(keyStore)).toBeUndefined();
    const others = new FakeTokens();
    await others.of(region).createDaemonKeys();
    const mistaken = await bench().open({ tokens: others });
    expect(await mistaken.wrongToken(keyStore)).toContain(`the token of ${region} does not hold the keys`);
    // The rows are sound: what is wrong is the token, and it seals nothing here.
    for (const use of [
      mistaken.keys.find(mine),
      mistaken.keys.insert(sampleKey()),
      all(mistaken.keys.checkSeals(region)),
    ])
      await expect(use).rejects.toMatchObject({ code: 'KMSInternalException', publicMessage: undefined });
    expect(mistaken.integrityFailures()).toEqual([]);
    const empty = await bench().open({ tokens: new FakeTokens() });
    expect(await empty.wrongToken(keyStore)).toContain('the token with serial 4711');
  });

  it("binds a secret to its owner by the AAD of the format's page", async () => {
    await fill(bench());
    const [row] = bench().database.administrate("select * from credentials where access_key_id = 'AKIAONE'");
    const aad = createHash('sha256').update('hsm-bridge/secret/v1\0\0\0\0\x07AKIAONE\0\0\0\x0c111122223333').digest();
    const token = bench().tokens.of(region);
    const secret = await token.decrypt(Buffer.from('hsmb-secrets--01'), aad, row!['wrapped_secret'] as Buffer);
    expect(secret.reveal().toString()).toBe('secret of AKIAONE');
  });
}

function keyTampering(bench: () => Bench): void {
  it.each(Object.entries(keyChanges))('refuses a key whose row was changed by hand: %s', async (_name, change) => {
    const running = await fill(bench());
    bench().database.administrate(change);
    bench().passTime();
    for (const store of [running, await bench().open()]) {
      await expect(store.keys.find(mine)).rejects.toMatchObject(refusal);
      await expect(store.keys.findByMaterial(region, ckaIdText(mine))).rejects.toMatchObject(refusal);
      await expect(store.keys.update(mine, (key) => key)).rejects.toMatchObject(refusal);
      expect((await everyKey(store, region)).map((key) => key.keyId)).not.toContain(mine.keyId);
      expect(store.integrityFailures()).toEqual([keyRow]);
      expect(await store.keys.find(theirs)).toEqual(theirs);
    }
    // Told once by each store, however often it was read.
    expect(bench().broken).toEqual([keyRow, keyRow]);
    await running.keys.remove(mine);
    expect(await running.keys.find(mine)).toBeUndefined();
  });

  it('refuses a row that was copied to a new id, account or Region', async () => {
    const store = await fill(bench());
    const { database } = bench();
    const columns = Object.keys(database.administrate('select * from keys limit 1')[0]!);
    const copies = [
      { ...mine, keyId: 'mine-now' },
      { ...mine, accountId: '999999999999' },
      { ...mine, region: 'us-east-1' },
    ];
    await store.keys.insert(sampleKey({ region: 'us-east-1' }));
    for (const copy of copies) {
      const values: Record<string, string> = {
        key_id: `'${copy.keyId}'`,
        account_id: `'${copy.accountId}'`,
        region: `'${copy.region}'`,
      };
      database.administrate(
        `insert into keys (${columns.join()}) select ${columns.map((c) => values[c] ?? c).join()} from keys ${thatKey} and region = '${region}' and account_id = '${accountId}'`,
      );
      await expect(store.keys.find(copy)).rejects.toMatchObject(refusal);
    }
    expect(store.integrityFailures()).toHaveLength(3);
    expect(await store.keys.find(mine)).toEqual(mine);
  });

  it('takes a row that announces material which has encrypted for what it is: an older copy, put back', async () => {
    const store = await fill(bench());
    const announced = 'ab'.repeat(32);
    const creating = sampleKey({ status: 'creating', backingKeys: [], pendingMaterialId: announced });
    await store.keys.insert(creating);
    const [older] = bench().database.administrate('select * from keys where key_id = ?', creating.keyId);
    const finished = { status: 'enabled', backingKeys: [backingKey(announced)], pendingMaterialId: undefined } as const;
    await store.keys.update(creating, (key) => ({ ...key, ...finished }));
    await store.usage.reserve(announced, 1);
    bench().database.administrate('delete from keys where key_id = ?', creating.keyId);
    bench().database.administrate('delete from backing_keys where key_id = ?', creating.keyId);
    putIn(bench(), 'keys', older!);
    expect(await all((await bench().open()).keys.unsettled(keyStore, 'all'))).toEqual([]);
    expect(bench().broken).toEqual([`keys:${region}/${accountId}/${creating.keyId}`]);
  });

  it('names every broken row in a look at all seals, and remembers none of the others for it', async () => {
    await fill(bench());
    bench().database.administrate("update keys set description = 'x' " + thatKey);
    const store = await bench().open();
    const counts = await all(store.keys.checkSeals(region));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(
      bench().database.administrate('select 1 from keys where region = ?', region).length,
    );
    expect(store.integrityFailures()).toEqual([keyRow]);
    expect(bench().broken).toEqual([keyRow]);
  });

  it('reads nothing of a value that is longer than any of ours', async () => {
    const store = await bench().open();
    const endless = 'hex(zeroblob(5000000))';
    const key = sampleKey({ description: '' });
    for (const each of [mine, key]) await store.keys.insert(each);
    bench().database.administrate(setKey('policy', endless));
    bench().database.administrate(`update keys set description = ${endless} where key_id = '${key.keyId}'`);
    const other = await bench().open();
    await expect(other.keys.find(mine)).rejects.toMatchObject(refusal);
    expect(other.integrityFailures()).toEqual([keyRow]);
    // In its place comes an empty text, which is what this one was sealed with.
    expect(await other.keys.find(key)).toEqual(key);
    bench().database.administrate(setKey('seal', 'zeroblob(5000000)'));
    await expect((await bench().open()).keys.find(mine)).rejects.toMatchObject(refusal);
    await other.keys.remove(mine);
    expect(await other.keys.find(mine)).toBeUndefined();
  });

  it.each([
    ['an alias in a list', 'aliases', 'key_id = hex(zeroblob(8000000))'],
    ['the access keys of an account', 'credentials', 'wrapped_secret = zeroblob(16000000)'],
  ])('holds nothing of such a value: %s', async (_what, table, change) => {
    const store = await fill(bench());
    bench().database.administrate(`update ${table} set ${change}`);
    const held = (): number => process.memoryUsage().heapUsed + process.memoryUsage().external;
    const before = held();
    const looked =
      table === 'aliases'
        ? store.aliases.list(scope, undefined, { after: undefined, limit: 9 })
        : store.credentials.findRoot(accountId);
    await looked.then(
      (found) => expect(found).toBeUndefined(),
      (error: unknown) => expect(error).toMatchObject(refusal),
    );
    expect(held() - before).toBeLessThan(8_000_000);
    expect(store.integrityFailures()).toHaveLength(1);
  });

  it('takes no row back that is older than one this process has seen, however well it is sealed', async () => {
    const store = await fill(bench());
    const other = await bench().open();
    const rowOf = (): Record<string, unknown> =>
      bench().database.administrate('select * from keys where key_id = ?', mine.keyId)[0]!;
    const putBack = (row: Record<string, unknown>): void => {
      putIn(bench(), 'keys', row);
      bench().passTime();
    };
    const older = rowOf();
    expect(await other.keys.find(mine)).toEqual(mine);
    const disabled = await store.keys.update(mine, (key) => ({ ...key, status: 'disabled' }));
    const newer = rowOf();
    bench().passTime();
    expect(await other.keys.find(mine)).toEqual(disabled);
    putBack(older);
    // The one that wrote the newer row, and one that only read it.
    for (const one of [store, other]) {
      await expect(one.keys.find(mine)).rejects.toMatchObject(refusal);
      await expect(one.keys.findByMaterial(region, ckaIdText(mine))).rejects.toMatchObject(refusal);
      await expect(one.keys.update(mine, (key) => key)).rejects.toMatchObject(refusal);
      expect(one.integrityFailures()).toEqual([keyRow]);
    }
    putBack(newer);
    expect(await store.keys.find(mine)).toEqual(disabled);
    const [backing] = bench().database.administrate('select * from backing_keys where key_id = ?', mine.keyId);
    await store.keys.remove(mine);
    putBack(newer);
    putIn(bench(), 'backing_keys', backing!);
    await expect(store.keys.find(mine)).rejects.toMatchObject(refusal);
    // Nothing of this outlives the process (docs/formats/row-seal.md).
    expect(await (await bench().open()).keys.find(mine)).toEqual(disabled);
  });

  it('takes an alias that was made again for a new one, and the former one for an older', async () => {
    const store = await fill(bench());
    const former = bench().database.administrate('select * from aliases where alias_name = ?', alias.aliasName)[0]!;
    await store.aliases.update({ ...alias, keyId: theirs.keyId }, alias.keyId);
    await store.aliases.remove(scope, alias.aliasName, theirs.keyId);
    const later = { ...alias, createdAtMs: alias.createdAtMs + 1, updatedAtMs: alias.createdAtMs + 1 };
    await store.aliases.insert(later);
    expect(await store.aliases.find(scope, alias.aliasName)).toEqual(later);
    putIn(bench(), 'aliases', former);
    bench().passTime();
    await expect(store.aliases.find(scope, alias.aliasName)).rejects.toMatchObject(refusal);
  });

  it('takes an alias that was made again by a gateway whose clock is behind', async () => {
    const store = await fill(bench());
    const other = await bench().open();
    await store.aliases.remove(scope, alias.aliasName, alias.keyId);
    const made = { ...alias, createdAtMs: alias.createdAtMs - 1 };
    await other.aliases.insert(made);
    bench().passTime();
    expect(await store.aliases.find(scope, alias.aliasName)).toEqual(made);
  });

  it('leaves a broken row out of what the jobs see', async () => {
    const store = await fill(bench());
    bench().database.administrate("update keys set deletion_at_ms = 1, status = 'pendingDeletion' " + thatKey);
    expect((await all(store.keys.due(keyStore, 10))).map((key) => key.keyId)).not.toContain(mine.keyId);
    bench().database.administrate("update keys set pending_material_id = 'x' " + thatKey);
    expect((await all(store.keys.unsettled(keyStore, 'all'))).map((key) => key.keyId)).not.toContain(mine.keyId);
    expect(store.integrityFailures()).toHaveLength(1);
  });
}

function otherTampering(bench: () => Bench): void {
  it.each([
    ['target', `update aliases set key_id = '${theirs.keyId}'`],
    ['name', `update aliases set alias_name = 'alias/other'`],
    ['account', `update aliases set account_id = '999999999999'`],
    ['time', 'update aliases set updated_at_ms = 1'],
    ['version', 'update aliases set version = 2'],
  ])('refuses an alias that was changed by hand: %s', async (column, change) => {
    const running = await fill(bench());
    bench().database.administrate(change);
    bench().passTime();
    const aliasName = column === 'name' ? 'alias/other' : alias.aliasName;
    const owner = column === 'account' ? { ...scope, accountId: '999999999999' } : scope;
    for (const store of [running, await bench().open()]) {
      await expect(store.aliases.find(owner, aliasName)).rejects.toMatchObject(refusal);
      await expect(store.aliases.list(owner, undefined, { after: undefined, limit: 9 })).rejects.toMatchObject(refusal);
      const update = store.aliases.update({ ...alias, ...owner, aliasName }, alias.keyId);
      await expect(update).rejects.toMatchObject(refusal);
      expect(store.integrityFailures()).toEqual([`aliases:${region}/${owner.accountId}/${aliasName}`]);
    }
  });

  it.each([
    ['account', `update credentials set account_id = '${accountId}' where access_key_id = 'AKIATWO'`],
    ['root', `update credentials set root = 0 where access_key_id = 'AKIATWO'`],
    ['version', `update credentials set version = 0 where access_key_id = 'AKIATWO'`],
    ['one bit of the secret', `update credentials set wrapped_secret = x'00' where access_key_id = 'AKIATWO'`],
    [
      'secret of another row',
      `update credentials set wrapped_secret = (select wrapped_secret from credentials where access_key_id = 'AKIAONE') where access_key_id = 'AKIATWO'`,
    ],
    [
      'secret and seal of another row',
      `update credentials set (wrapped_secret, seal) = (select wrapped_secret, seal from credentials where access_key_id = 'AKIAONE') where access_key_id = 'AKIATWO'`,
    ],
    [
      'two rows swapped',
      `update credentials set access_key_id = case access_key_id when 'AKIAONE' then 'AKIATWO' else 'AKIAONE' end || '';`,
    ],
  ])('refuses an access key that was changed by hand: %s', async (name, change) => {
    const running = await fill(bench());
    if (name === 'two rows swapped') {
      bench().database.administrate("update credentials set access_key_id = 'tmp' where access_key_id = 'AKIAONE'");
      bench().database.administrate("update credentials set access_key_id = 'AKIAONE' where access_key_id = 'AKIATWO'");
      bench().database.administrate("update credentials set access_key_id = 'AKIATWO' where access_key_id = 'tmp'");
    } else {
      bench().database.administrate(change);
    }
    bench().passTime();
    for (const store of [running, await bench().open()]) {
      await expect(store.credentials.find('AKIATWO')).rejects.toMatchObject(refusal);
      expect(store.integrityFailures()).toEqual(['credentials:AKIATWO']);
    }
  });
}

const page = join(import.meta.dirname, '../../docs/formats/row-seal.md');

/** The table of tables of docs/formats/row-seal.md. */
function columnsOfThePage(): Record<string, string[]> {
  const rows = readFileSync(page, 'utf8').matchAll(/^\| `(\w+)` \| (.+) \|$/gm);
  return Object.fromEntries([...rows].map(([, table = '', columns = '']) => [table, columns.split(', ')]));
}

/** docs/formats/row-seal.md, written a second time and differently: as hex text. */
function encodeByThePage(table: string, columns: string[], row: Record<string, unknown>): Buffer {
  const withLength = (hex: string) => (hex.length / 2).toString(16).padStart(8, '0') + hex;
  const textHex = (text: string) => withLength(Buffer.from(text, 'utf8').toString('hex'));
  let hex = Buffer.from('hsm-bridge/row/v1').toString('hex') + '00' + textHex(table);
  for (const column of columns) {
    const value = row[column];
    if (value === null) continue;
    hex += textHex(column);
    if (typeof value === 'string') hex += '01' + textHex(value);
    else if (typeof value === 'number') hex += '02' + withLength(BigInt(value).toString(16).padStart(16, '0'));
    else hex += '03' + withLength((value as Buffer).toString('hex'));
  }
  return Buffer.from(hex, 'hex');
}
