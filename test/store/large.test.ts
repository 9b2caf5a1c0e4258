// Many keys, large ones, unfinished ones: a start and the use of them hold little memory and always come to an end.
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import Libsql from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keyColumns, keys } from '../../src/store/key-row.js';
import { encodeRow } from '../../src/store/seal.js';
import { Bench } from './bench.js';
import { region, sampleKey, keyStore } from './samples.js';
import { sqliteDatabase, type SqliteFile } from './sqlite-database.js';

let file: SqliteFile;
let bench: Bench;
beforeEach(() => {
  file = sqliteDatabase();
  bench = new Bench(file);
});
afterEach(() => bench.dispose());

/** Rows sealed by the test's token, in one transaction. */
async function insertAll(count: number, keyOf: (n: number) => ReturnType<typeof sampleKey>): Promise<void> {
  const store = await bench.open();
  await store.keys.insert(sampleKey());
  const token = bench.tokens.of(region);
  const database = new Libsql(file.path);
  database.exec('begin');
  const columns = Object.keys(keyColumns(keyOf(0), 1)) as (keyof ReturnType<typeof keyColumns>)[];
  const insert = database.prepare(
    `insert into keys (${[...columns, 'seal'].join()}) values (${Array(columns.length + 1)
      .fill('?')
      .join()})`,
  );
  for (let n = 0; n < count; n++) {
    const row = keyColumns(keyOf(n), 1);
    insert.run([...columns.map((name) => row[name]), token.hmac(encodeRow(keys, row))]);
  }
  database.exec('commit');
  database.close();
}

describe('a store of many keys', () => {
  it('of the largest size starts and serves with a heap of 64 MB', () => {
    const words = ['--max-old-space-size=64', resolve('test/bench/start.mjs'), '600', 'largest', '300'];
    const output = execFileSync(process.execPath, words, { encoding: 'utf8' });
    const { count, start, rssMb } = JSON.parse(output) as {
      count: number;
      start: object;
      rssMb: { before: number; started: number };
    };
    expect({ count, start }).toMatchObject({ count: 600, start: { ms: expect.any(Number) as number } });
    // A start holds ids.
    expect(rssMb.started - rssMb.before).toBeLessThan(20);
  });

  it('begins with 40,000 unfinished ones, more than SQLite takes values in one statement', async () => {
    const first = 600;
    await insertAll(first, (n) =>
      sampleKey({ status: 'creating', backingKeys: [], pendingMaterialId: n.toString(16).padStart(64, '0') }),
    );
    const columns = Object.keys(keyColumns(sampleKey(), 1));
    const copied = columns.map((name) =>
      name === 'key_id' ? "'z' || i" : name === 'pending_material_id' ? 'i' : name,
    );
    file.administrate(
      `with recursive n (i) as (select 1 union all select i + 1 from n where i < 40000)
       insert into keys (${columns.join()}, seal) select ${copied.join()}, x'00'
       from n, (select * from keys where status = 'creating' limit 1)`,
    );
    const store = await bench.open();
    let found = 0;
    for await (const key of store.keys.unsettled(keyStore, 'all')) {
      expect(key.status).toBe('creating');
      if (++found === first) break;
    }
    expect(found).toBe(first);
  });

  it('reads no row but those that there is something to do about', async () => {
    const store = await bench.open();
    await store.keys.insert(sampleKey());
    const plan = (text: string): string =>
      file
        .administrate(`explain query plan ${text}`)
        .map((row) => String(row['detail']))
        .join(' | ');
    const after = "(account_id, key_id) > ('', '') order by account_id, key_id limit 500";
    expect(
      plan(
        `select account_id from keys where region = 'x' and status in ('pendingDeletion', 'deleting') and deletion_at_ms <= 5 and (deletion_at_ms, account_id, key_id) > (0, '', '') order by deletion_at_ms, account_id, key_id limit 500`,
      ),
    ).toMatch(/^SEARCH keys USING INDEX keys_deletion [^|]*$/);
    expect(
      plan(
        `select account_id from keys where region = 'x' and (status = 'creating' or pending_material_id is not null) and ${after}`,
      ),
    ).toMatch(/^SEARCH keys USING INDEX keys_unsettled [^|]*$/);
    expect(plan(`select account_id from keys where region = 'x' and material_missing = 1 and ${after}`)).toMatch(
      /^SEARCH keys USING COVERING INDEX keys_without_material [^|]*$/,
    );
  });
});
