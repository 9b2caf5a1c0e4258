// Keys and aliases in a database: what every store does, and what only a database can be asked.
import { expect, it } from 'vitest';
import type { Key } from '../../src/model/key.js';
import type { Bench } from './bench.js';
import { recordSuite } from './record-suite.js';
import { sampleKey, scope } from './samples.js';

export function keySuite(bench: () => Bench): void {
  recordSuite(() => bench().open());

  it('begins a life beside very many that are over, and takes them away with their leases', async () => {
    const { database } = bench();
    const first = await bench().open();
    await first.lives.begin({ host: 'a', lane: 0, lanes: 1 });
    database.administrate(
      `with recursive n(i) as (select 1 union all select i + 1 from n where i < 40000)
       insert into lives select 'gone' || i, 'b', 0, 1, 1 from n`,
    );
    database.administrate("insert into leases values ('rotation', 'gone40000', 9007199254740991, 1)");
    const store = await bench().open();
    const life = await store.lives.begin({ host: 'a', lane: 0, lanes: 1 });
    const key = sampleKey({ status: 'creating', life });
    await store.keys.insert(key);
    expect(await store.keys.find(key)).toEqual(key);
    expect(await store.lives.beat()).toBe(true);
    expect(database.administrate('select id from lives')).toEqual([{ id: life }]);
    const lease = database.administrate("select expires_at_ms from leases where name = 'rotation'");
    expect(lease).toEqual([{ expires_at_ms: 0 }]);
  });

  it('keeps values the database cannot hold away from it', async () => {
    const store = await bench().open();
    const key = sampleKey();
    // libsql 0.5.29 aborts the whole process when a boolean is bound.
    const wrong: Partial<Record<keyof Key, unknown>>[] = [
      { description: true },
      { createdAtMs: 1.5 },
      { policy: 5 },
      { createdAtMs: 2n },
    ];
    for (const over of wrong) {
      await expect(store.keys.insert({ ...key, ...over } as Key)).rejects.toBeInstanceOf(TypeError);
    }
    const nul = store.keys.insert({ ...key, description: 'a\0b' });
    await expect(nul).rejects.toMatchObject({ code: 'ValidationException' });
    const byBoolean = { ...scope, keyId: true as unknown as string };
    await expect(store.keys.find(byBoolean)).rejects.toBeInstanceOf(TypeError);
    expect(await store.keys.find(key)).toBeUndefined();
  });
}
