// The suite on SQLite, and what only SQLite has: the file's mode and settings, and files that are no store.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import Libsql from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemRandom } from '../../src/kernel/random.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { openSqlite } from '../../src/store/sqlite/open.js';
import type { Backend, Changed } from '../../src/store/backend.js';
import { sampleKey } from './samples.js';
import { Bench } from './bench.js';
import { sqliteDatabase, type SqliteFile } from './sqlite-database.js';
import { storeSuite } from './store-suite.js';

const quiet = { random: systemRandom, timers: systemTimers, onFault: () => undefined };

storeSuite('SQLite', sqliteDatabase);

describe('SQLite file', () => {
  let file: SqliteFile;
  let bench: Bench;
  beforeEach(() => {
    file = sqliteDatabase();
    bench = new Bench(file);
  });
  afterEach(() => bench.dispose());

  it('belongs to its owner alone, also its companions, also when it was open to others', async () => {
    writeFileSync(file.path, '', { mode: 0o644 });
    await (await bench.open()).keys.insert(sampleKey());
    const names = readdirSync(file.folder);
    expect(names.sort()).toEqual(['store.db', 'store.db-shm', 'store.db-wal']);
    for (const name of names) expect(statSync(join(file.folder, name)).mode & 0o777).toBe(0o600);
  });

  it('syncs at each commit and refuses values of another type', async () => {
    const backend = await openSqlite(file.path, quiet);
    const connection = backend.db.getExecutor();
    const setting = async (name: string) =>
      Object.values(
        (await connection.executeQuery({ sql: `pragma ${name}`, parameters: [] } as never)).rows[0] as object,
      )[0] as unknown;
    expect(await setting('journal_mode')).toBe('wal');
    expect(await setting('synchronous')).toBe(2);
    expect(await setting('foreign_keys')).toBe(1);
    expect(await setting('busy_timeout')).toBe(5_000);
    await backend.close();
    expect(() => file.administrate("insert into usage values ('x', 'many')")).toThrow('cannot store TEXT value');
  });

  it('tells from a few bytes whether anybody committed', async () => {
    const [one, two] = [await openSqlite(file.path, quiet), await openSqlite(file.path, quiet)];
    const commit = (n: number) =>
      two.db.transaction().execute((trx) =>
        trx
          .insertInto('usage')
          .values({ material_id: String(n), total: n })
          .execute(),
      );
    one.mayHaveChanged();
    for (let n = 0; n < 600; n++) {
      // The checkpoints between, and the start of the WAL file over again, are no commits.
      if (one.mayHaveChanged()) expect.fail(`a commit was seen before commit ${String(n)}`);
      await commit(n);
      if (!one.mayHaveChanged()) expect.fail(`commit ${String(n)} was not seen`);
    }
    file.administrate('delete from usage');
    expect(one.mayHaveChanged()).toBe(true);
    file.administrate('pragma wal_checkpoint(truncate)');
    await commit(1);
    expect([one.mayHaveChanged(), one.mayHaveChanged()]).toEqual([true, false]);
    await one.close();
    await two.close();
  });

  it('says what each commit of others changed, and that all may have when one came without a word', async () => {
    const [one, two] = [await openSqlite(file.path, quiet), await openSqlite(file.path, quiet)];
    const commit = (backend: Backend, changed: Changed, material: string = randomUUID()) =>
      backend.write(async (trx) => {
        await trx.insertInto('usage').values({ material_id: material, total: 1 }).execute();
        return { result: undefined, changed };
      });
    expect([one.changes(), two.changes()]).toEqual([[], []]);
    await commit(two, ['keys:a', 'aliases:b']);
    await commit(one, ['keys:mine']);
    await commit(two, []);
    await commit(two, ['keys:c']);
    expect(one.changes()).toEqual(['keys:a', 'aliases:b', 'keys:c']);
    expect(one.changes()).toEqual([]);
    expect(two.changes()).toEqual(['keys:mine']);
    await commit(two, 'all');
    expect(one.changes()).toBe('all');
    await commit(
      two,
      Array.from({ length: 201 }, (_, n) => `keys:${n}`),
    );
    expect(one.changes()).toBe('all');
    // Checkpoints, and the WAL file begun anew, are no commits.
    for (let n = 0; n < 300; n++) await commit(two, [`keys:${n}`]);
    file.administrate('pragma wal_checkpoint(truncate)');
    for (let n = 300; n < 400; n++) await commit(two, [`keys:${n}`]);
    expect(one.changes()).toEqual(Array.from({ length: 400 }, (_, n) => `keys:${n}`));
    // Somebody's own hand, also between others' commits, and also when it takes notices away or makes some.
    const foreign: readonly string[] = [
      'update usage set total = 2',
      'delete from changes',
      "insert into changes (writer, changed) values ('x', 'no JSON')",
    ];
    for (const statement of foreign) {
      await commit(two, ['keys:before']);
      file.administrate(statement);
      await commit(two, ['keys:after']);
      if (statement.startsWith('insert')) expect(() => one.changes()).toThrow(SyntaxError);
      else expect(one.changes()).toBe('all');
      await commit(two, ['keys:later']);
      expect(one.changes()).toEqual(['keys:later']);
    }
    // A commit that failed left no notice.
    await commit(two, [], 'same');
    await expect(commit(two, ['keys:never'], 'same')).rejects.toThrow();
    await commit(two, ['keys:then']);
    expect(one.changes()).toEqual(['keys:then']);
    await one.close();
    await two.close();
  });

  it('keeps few notices, and tells who missed some that all may have changed', async () => {
    const [one, two] = [await openSqlite(file.path, quiet), await openSqlite(file.path, quiet)];
    for (let n = 0; n < 1_300; n++) await two.write(async () => ({ result: undefined, changed: ['keys:a'] }));
    expect(one.changes()).toBe('all');
    expect(one.changes()).toEqual([]);
    const [{ kept }] = file.administrate('select count(*) as kept from changes') as [{ kept: number }];
    expect(kept).toBeLessThanOrEqual(1_280);
    await one.close();
    await two.close();
  });

  it('goes on, for everybody and after a start, behind a notice that another hand made the last one there can be, or endless', async () => {
    const noticed = async (backend: Backend): Promise<void> =>
      backend.write(async () => ({ result: undefined, changed: ['keys:a'] }));
    const [one, two] = [await openSqlite(file.path, quiet), await openSqlite(file.path, quiet)];
    file.administrate("insert into changes (seq, writer, changed) values (9223372036854775807, 'x', '[]')");
    expect(one.changes()).toBe('all');
    await noticed(two);
    expect(one.changes()).toBe('all');
    await noticed(two);
    expect(one.changes()).toEqual(['keys:a']);
    file.administrate(
      "insert into changes (writer, changed) values ('x', '[\"keys:' || hex(zeroblob(1000000)) || '\"]')",
    );
    expect(one.changes()).toBe('all');
    file.administrate("insert into changes (seq, writer, changed) values (9223372036854775807, 'x', '[]')");
    const three = await openSqlite(file.path, quiet);
    await noticed(three);
    for (const backend of [one, two, three]) expect(backend.changes()).toBe('all');
    await noticed(one);
    expect(three.changes()).toEqual(['keys:a']);
    for (const backend of [one, two, three]) await backend.close();
  });

  it('waits for another writer without holding up this process', async () => {
    const store = await bench.open();
    const key = sampleKey();
    await store.keys.insert(key);
    const other = new Libsql(file.path);
    other.exec('BEGIN IMMEDIATE');
    // Were this wait in the thread itself, the commit below could not come before its end.
    const update = store.keys.update(key, (k) => ({ ...k, description: 'after the other' }));
    await pause(20);
    other.exec('COMMIT');
    other.close();
    expect((await update).description).toBe('after the other');
  });

  it('answers with an error after it was closed', async () => {
    const store = await bench.open();
    const key = sampleKey();
    await store.keys.insert(key);
    const underway = store.keys.update(key, (k) => k);
    await Promise.all([store.close(), expect(underway).rejects.toThrow()]);
    // libsql would abort the process.
    await expect(store.keys.insert(sampleKey())).rejects.toThrow();
    await expect(store.usage.reserve('x', 1)).rejects.toThrow();
    await store.close();
  });

  it('says what is wrong with a file that is no store', async () => {
    writeFileSync(file.path, randomBytes(8_192));
    await expect(bench.open()).rejects.toMatchObject({ name: 'StoreOpenError', reason: 'damaged' });
  });

  it('does not open what a newer daemon wrote', async () => {
    await (await bench.open()).close();
    file.administrate("insert into kysely_migration values ('9999-later', '2099-01-01')");
    await expect(bench.open()).rejects.toMatchObject({ reason: 'damaged', message: /9999-later/ });
  });

  it('says when it cannot be written', async () => {
    mkdirSync(file.path);
    await expect(bench.open()).rejects.toMatchObject({ name: 'StoreOpenError', reason: 'unwritable' });
    await expect(openSqlite(join(file.folder, 'none', 'store.db'), quiet)).rejects.toMatchObject({
      reason: 'unwritable',
    });
  });
});
