// A database of an earlier version becomes one of today's at its first opening: its keys are found as before, whatever else is in it.
import { createHash } from 'node:crypto';
import Libsql from 'libsql';
import { Kysely, Migrator, sql } from 'kysely';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemTimers } from '../../src/kernel/timers.js';
import type { Key } from '../../src/model/key.js';
import { backingKeyRows, backingKeys } from '../../src/store/backing-keys.js';
import { keyColumns, keys } from '../../src/store/key-row.js';
import { digestOf } from '../../src/store/parts.js';
import { encodeRow } from '../../src/store/seal.js';
import { SqliteConnection } from '../../src/store/sqlite/connection.js';
import { WriteFirstDialect } from '../../src/store/sqlite/dialect.js';
import type { AnyColumns, RowOf } from '../../src/store/table.js';
import { migrations } from '../../src/store/tables.js';
import { all, Bench, putIn } from './bench.js';
import { accountId, backingKey, ckaIdText, region, sampleAlias, sampleKey, scope } from './samples.js';
import { sqliteDatabase, type SqliteFile } from './sqlite-database.js';

const types = { integer: sql`integer`, blob: sql`blob`, sequence: sql`integer`, tableEnd: sql`strict` };

let file: SqliteFile;
let bench: Bench;
beforeEach(() => {
  file = sqliteDatabase();
  bench = new Bench(file);
});
afterEach(() => bench.dispose());

/** The database as version 0.1 left it, or as it was after a later step. */
async function earlierDatabase(last = '0001-first'): Promise<void> {
  const connection = new SqliteConnection(new Libsql(file.path));
  const db = new Kysely({ dialect: new WriteFirstDialect(connection, systemTimers) });
  const steps = Object.fromEntries(Object.entries(migrations(types)).filter(([name]) => name <= last));
  expect(Object.keys(steps)).toContain(last);
  const migrator = new Migrator({ db, provider: { getMigrations: async () => steps } });
  expect((await migrator.migrateToLatest()).error).toBeUndefined();
  await db.destroy();
  await bench.tokens.of(region).createDaemonKeys();
  const probe = createHash('sha256').update('hsm-bridge/daemon-key-probe').digest();
  file.administrate("insert into tokens values (?, '4711', 1, ?)", region, bench.tokens.of(region).hmac(probe));
}

/** Columns that came later are null, and null columns are not sealed. */
function insertEarlier(rows: readonly (readonly [key: Key, backingKeys: string])[]): void {
  const database = new Libsql(file.path);
  database.exec('begin');
  for (const [key, backing_keys] of rows) {
    const row = { ...keyColumns(key, 3), backing_keys, life: null, generations: null, key_store: null };
    const seal = bench.tokens.of(region).hmac(encodeRow(keys, row));
    const later = ['life', 'generations', 'key_store'];
    const stored = Object.entries({ ...row, seal }).filter(([name]) => !later.includes(name));
    const names = stored.map(([name]) => name);
    database
      .prepare(`insert into keys (${names.join()}) values (${names.map(() => '?').join()})`)
      .run(stored.map(([, value]) => value));
  }
  database.exec('commit');
  database.close();
}

it('opens with all its keys, and with what is wrong in it', async () => {
  await earlierDatabase();
  const rotated = sampleKey({ backingKeys: [backingKey(), backingKey(), backingKey()], life: '' });
  const others = Array.from({ length: 600 }, () => sampleKey({ life: '' }));
  const creating = sampleKey({ status: 'creating', backingKeys: [], pendingMaterialId: 'ab'.repeat(32), life: '' });
  insertEarlier([rotated, creating, ...others].map((key) => [key, JSON.stringify(key.backingKeys)]));
  const wrong = ['', '{', 'null', '[null]', '[{"materialId":"x"}]', '7', '[[]]'];
  insertEarlier(wrong.map((text, n) => [sampleKey({ keyId: `wrong-${n}` }), text]));
  file.administrate("update keys set description = 'by hand' where key_id like 'wrong-%'");
  const store = await bench.open();
  expect(await store.keys.find(rotated)).toEqual(rotated);
  expect(await store.keys.find(creating)).toEqual(creating);
  for (const { materialId } of rotated.backingKeys)
    expect(await store.keys.findByMaterial(region, materialId.slice(0, 32), accountId)).toEqual(rotated);
  const last = others.at(-1)!;
  expect(await store.keys.findByMaterial(region, ckaIdText(last))).toEqual(last);
  const ids = (await all(store.keys.materials(region))).flat().map(({ ckaId }) => ckaId);
  expect(ids).toEqual(
    [rotated, ...others].flatMap((key) => key.backingKeys.map((b) => b.materialId.slice(0, 32))).sort(),
  );
  const checked = (await all(store.keys.checkSeals(region))).reduce((sum, count) => sum + count, 0);
  expect(checked).toBe(600 + 2 + 7);
  expect(new Set(bench.broken)).toEqual(
    new Set(Array.from({ length: 7 }, (_, n) => `keys:${region}/${accountId}/wrong-${n}`)),
  );
  // And goes on.
  await store.aliases.insert(sampleAlias(rotated.keyId));
  expect((await store.aliases.find(scope, 'alias/payroll'))?.keyId).toBe(rotated.keyId);
  const fourth = backingKey();
  await store.keys.update(rotated, (key) => ({ ...key, backingKeys: [...key.backingKeys, fourth] }));
  expect(await (await bench.open()).keys.find(rotated)).toEqual({
    ...rotated,
    backingKeys: [...rotated.backingKeys, fourth],
  });
});

it('opens with its keys from before there were key stores, sealed as they are', async () => {
  await earlierDatabase('0005-backing-keys');
  const key = sampleKey({ backingKeys: [backingKey(), backingKey()] });
  // As rows and digest were written then: without a column that nobody knew.
  const known = (columns: object): object =>
    Object.fromEntries(Object.entries(columns).filter(([name]) => name !== 'key_store'));
  const before = { name: 'backing_keys', columns: known(backingKeys.columns) as AnyColumns };
  const rows = backingKeyRows(key, key.backingKeys).map(known) as RowOf<AnyColumns>[];
  const row = { ...known(keyColumns(key, 3)), generations: digestOf(before, rows) } as unknown as RowOf<AnyColumns>;
  const bytes = encodeRow({ name: 'keys', columns: known(keys.columns) as AnyColumns }, row);
  putIn(bench, 'keys', { ...row, seal: bench.tokens.of(region).hmac(bytes) });
  for (const part of rows) putIn(bench, 'backing_keys', part);
  const store = await bench.open();
  expect(await store.keys.find(key)).toEqual(key);
  expect(await store.keys.findByMaterial(region, ckaIdText(key))).toEqual(key);
  const disabled = await store.keys.update(key, (found) => ({ ...found, status: 'disabled' }));
  expect(await (await bench.open()).keys.find(key)).toEqual(disabled);
  expect(bench.broken).toEqual([]);
});
