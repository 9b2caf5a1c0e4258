// The suite on SQLite, and what only SQLite has: the file's mode and settings, and files that are no store.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import Libsql from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSqlite } from '../../src/store/sqlite/open.js';
import { sampleKey } from './samples.js';
import { Bench } from './bench.js';
import { sqliteDatabase, type SqliteFile } from './sqlite-database.js';
import { storeSuite } from './store-suite.js';

const unheard = (): void => undefined;

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
    const backend = await openSqlite(file.path, unheard);
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
    const [one, two] = [await openSqlite(file.path, unheard), await openSqlite(file.path, unheard)];
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
    await expect(openSqlite(join(file.folder, 'none', 'store.db'), unheard)).rejects.toMatchObject({
      reason: 'unwritable',
    });
  });
});
