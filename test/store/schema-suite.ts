// Whoever changes what the tables are, not what is in them: nothing is served over it, while the store is open and at the next opening.
import { expect, it } from 'vitest';
import type { Store } from '../../src/ports/store.js';
import type { Bench } from './bench.js';
import { sampleAlias, sampleKey, scope } from './samples.js';

const key = sampleKey({ keyId: 'key-1' });

/** Each is one statement or more that a database administrator may type. */
const changes: readonly (readonly [what: string, statements: readonly string[]])[] = [
  [
    'a trigger that puts a row back as it was',
    [
      `create trigger t after update on keys begin
         update keys set status = old.status, version = old.version, seal = old.seal where key_id = old.key_id; end`,
    ],
  ],
  ['a trigger that swallows a change', ['create trigger t before update on keys begin select raise(ignore); end']],
  ['a trigger on deletions', ['create trigger t before delete on aliases begin select raise(ignore); end']],
  ['a trigger on a table without seals', ['create trigger t after insert on usage begin delete from usage; end']],
  [
    'a view in the place of a table',
    [
      'alter table keys rename to real_keys',
      "create view keys as select * from real_keys where status = 'enabled'",
      'create trigger t instead of update on keys begin select 1; end',
    ],
  ],
  ['a view of its own', ['create view v as select 1']],
  [
    'a table of another collation',
    [
      'alter table usage rename to old_usage',
      'create table "usage" ("material_id" text collate nocase not null primary key, "total" integer not null) strict',
    ],
  ],
  [
    'a table without rowid',
    [
      'drop table leases',
      'create table "leases" ("name" text not null primary key, "holder" text not null, "expires_at_ms" integer not null) strict, without rowid',
    ],
  ],
  [
    'a constraint',
    [
      'drop table usage',
      'create table "usage" ("material_id" text not null primary key, "total" integer not null check (total < 9)) strict',
    ],
  ],
  ['a generated column', ["alter table keys add column state text generated always as ('enabled') virtual"]],
  ['a further column', ["alter table keys add column other text default 'x'"]],
  ['a unique index', ['create unique index one_each on aliases (key_id)']],
  ['an index over an expression', ['create index i on keys (lower(status))']],
  ['an index that is gone', ['drop index aliases_key']],
  ['a table that is gone', ['drop table usage']],
  ['a table more', ['create table more (x text)']],
];

export function schemaSuite(bench: () => Bench): void {
  async function filled(): Promise<Store> {
    const store = await bench().open({ shared: true });
    await store.keys.insert(key);
    await store.aliases.insert(sampleAlias(key.keyId));
    return store;
  }

  it.each(changes)('refuses %s', async (_what, statements) => {
    const [store, other] = [await filled(), await bench().open()];
    expect(await other.keys.find(key)).toEqual(key);
    for (const statement of statements) bench().database.administrate(statement);
    const calls = [
      // The first is a write that no look came before.
      () => store.keys.update(key, (k) => ({ ...k, status: 'disabled' })),
      () => store.keys.find(key),
      () => store.aliases.find(scope, 'alias/payroll'),
      () => store.aliases.remove(scope, 'alias/payroll', key.keyId),
      () => store.usage.reserve('aa', 1),
      () => store.leases.take('x', 'y', 1),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'KMSInternalException' });
    expect(store.fault()).toMatch(/^it (has|lacks)|^its/);
    expect(bench().faults).toEqual([store.fault()]);
    // A gateway that has not looked yet finds out when it writes, and its cache goes with that.
    expect(other.fault()).toBeUndefined();
    await expect(other.usage.reserve('aa', 1)).rejects.toMatchObject({ code: 'KMSInternalException' });
    await expect(other.keys.find(key)).rejects.toMatchObject({ code: 'KMSInternalException' });
    await expect(bench().open()).rejects.toMatchObject({ name: 'StoreOpenError', reason: 'damaged' });
  });

  it('serves again when it was put right, and says each time when it was not', async () => {
    const store = await filled();
    for (let time = 1; time <= 2; time++) {
      bench().database.administrate('create view v as select 1');
      await expect(store.keys.find(key)).rejects.toMatchObject({ code: 'KMSInternalException' });
      expect(bench().faults).toHaveLength(time);
      bench().database.administrate('drop view v');
      expect(await store.keys.find(key)).toEqual(key);
      expect(store.fault()).toBeUndefined();
    }
    const disabled = await store.keys.update(key, (k) => ({ ...k, status: 'disabled' }));
    expect(await (await bench().open()).keys.find(key)).toEqual(disabled);
  });
}
