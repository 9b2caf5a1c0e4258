// What strangers look for: the same queries and the same token calls, in the same order, whether it is there or not. Counted, not timed.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KyselyPlugin } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock, MonotonicClock } from '../../src/kernel/clock.js';
import { systemRandom } from '../../src/kernel/random.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { BridgeError } from '../../src/kernel/errors.js';
import type { Key } from '../../src/model/key.js';
import type { Store } from '../../src/ports/store.js';
import { parseKeyPolicy } from '../../src/policy/document.js';
import { evaluateKeyPolicy } from '../../src/policy/evaluate.js';
import type { KeyTables } from '../../src/store/key-row.js';
import { openSqlite } from '../../src/store/sqlite/open.js';
import { storeOn } from '../../src/store/open.js';
import { FakeTokens } from '../support/fake-token.js';
import { all, everyKey, neverMs } from './bench.js';
import { accountId, ckaIdText, region, sampleAlias, sampleKey, scope } from './samples.js';

const quiet = { random: systemRandom, timers: systemTimers, onFault: () => undefined };
const stranger = '999988887777';
const aliasName = 'alias/payroll';

let folder: string;
let tokens: FakeTokens;
let clock: { nowMs: number } & Clock & MonotonicClock;
let broken: string[];
let work: string[];
const stores: Store[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hsmb-foreign-'));
  tokens = new FakeTokens();
  clock = { nowMs: 1_722_470_400_000, now: () => clock.nowMs, monotonicMs: () => clock.nowMs };
  broken = [];
  work = [];
  const token = tokens.of(region);
  const seal = token.macRow.bind(token);
  token.macRow = (data) => {
    work.push('token');
    return seal(data);
  };
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  rmSync(folder, { recursive: true });
});

/** Writes down each query that is run, and not what it asked for, which must not show. Some are built once and run often. */
const queries: KyselyPlugin = {
  transformQuery: ({ node }) => node,
  transformResult: ({ result }) => {
    work.push('query');
    return Promise.resolve(result);
  },
};

async function open(): Promise<Store> {
  const backend = await openSqlite(join(folder, 'store.db'), quiet);
  const db = backend.db.withPlugin(queries);
  const store = storeOn({ ...backend, db }, [], {
    tokens,
    clock,
    timers: systemTimers,
    random: systemRandom,
    defaultRegion: region,
    shared: false,
    pollMs: neverMs,
    onBroken: (table, id) => void broken.push(`${table}:${id}`),
  });
  stores.push(store);
  return store;
}

/** One look of a stranger: what it needed, and what came of it. */
async function look(find: () => Promise<Key | undefined>): Promise<{ work: string[]; found: string }> {
  work.length = 0;
  const found = await find().then(
    (key) => key?.status ?? 'undefined',
    (error: unknown) => (error instanceof BridgeError ? error.code : String(error)),
  );
  return { work: [...work], found };
}

type Form = 'id' | 'alias' | 'ciphertext';
const forms: readonly Form[] = ['id', 'alias', 'ciphertext'];

function finder(store: Store, form: Form, key: Key, alias: string, asker = stranger) {
  return () => {
    if (form === 'id') return store.foreign.key(asker, key);
    if (form === 'alias') return store.foreign.keyOfAlias(asker, scope, alias);
    return store.foreign.keyOfMaterial(asker, region, ckaIdText(key));
  };
}

async function aKey(store: Store): Promise<Key> {
  const key = sampleKey();
  await store.keys.insert(key);
  await store.aliases.insert(sampleAlias(key.keyId, { aliasName }));
  return key;
}

describe.each(forms)('a stranger who names a key by %s', (form) => {
  /** The same step for what is there and for what is not; returns what was found. */
  async function both(there: () => Promise<Key | undefined>, not: () => Promise<Key | undefined>) {
    const absent = await look(not);
    const present = await look(there);
    expect(present.work).toEqual(absent.work);
    return { present: present.found, absent: absent.found, calls: present.work.length };
  }

  it('costs the same the first time, again, after a change, and whoever else uses the key', async () => {
    const store = await open();
    const key = await aKey(store);
    const there = finder(store, form, key, aliasName);
    const not = finder(store, form, sampleKey(), 'alias/none');
    // Whoever comes first in a Region has the stand-ins sealed.
    await finder(store, form, sampleKey(), 'alias/first')();
    const first = await both(there, not);
    expect(first).toMatchObject({ present: 'enabled', absent: 'creating' });
    expect(first.calls).toBeGreaterThan(1);
    expect(await both(there, not)).toMatchObject({ present: 'enabled', absent: 'creating', calls: 0 });
    // The owner uses it, and so does a third account.
    await store.keys.find(key);
    await store.aliases.find(scope, aliasName);
    await store.keys.findByMaterial(region, ckaIdText(key), accountId);
    await finder(store, form, key, aliasName, '123412341234')();
    await store.aliases.insert(sampleAlias(key.keyId, { aliasName: 'alias/change' }));
    expect((await both(there, not)).calls).toBe(first.calls);
    // Another gateway wrote.
    await (await open()).keys.insert(sampleKey());
    clock.nowMs += 3 * neverMs;
    expect((await both(there, not)).calls).toBe(first.calls);
    const other = finder(store, form, key, aliasName, '555566667777');
    await finder(store, form, key, aliasName, '123412341234')();
    expect((await both(other, finder(store, form, sampleKey(), 'alias/none', '555566667777'))).calls).toBe(first.calls);
  });

  it('sees what changed at once', async () => {
    const store = await open();
    const key = sampleKey();
    const find = finder(store, form, key, aliasName);
    expect((await look(find)).found).toBe('creating');
    await store.keys.insert(key);
    await store.aliases.insert(sampleAlias(key.keyId, { aliasName }));
    expect((await look(find)).found).toBe('enabled');
    await store.keys.update(key, (row) => ({ ...row, status: 'disabled' }));
    expect((await look(find)).found).toBe('disabled');
    await store.keys.remove(key);
    expect((await look(find)).found).toBe('creating');
  });

  it('costs the same, and fails alike, when the token is away or was replaced', async () => {
    const store = await open();
    const key = await aKey(store);
    const there = finder(store, form, key, aliasName);
    const not = finder(store, form, sampleKey(), 'alias/none');
    const token = tokens.of(region);
    token.failure = new BridgeError('DependencyTimeoutException');
    expect(await both(there, not)).toMatchObject({
      present: 'DependencyTimeoutException',
      absent: 'DependencyTimeoutException',
    });
    token.failure = undefined;
    // Whoever comes first in a Region has the stand-ins sealed.
    await finder(store, form, sampleKey(), 'alias/first')();
    expect(await both(there, not)).toMatchObject({ present: 'enabled' });
    const hmac = token.hmac.bind(token);
    token.hmac = (data) => hmac(Buffer.concat([data, Buffer.from('another key')]));
    await store.aliases.insert(sampleAlias(key.keyId, { aliasName: 'alias/a' })).catch(() => undefined);
    expect(await both(there, not)).toMatchObject({ present: 'KMSInternalException', absent: 'KMSInternalException' });
    // A gateway that starts beside the wrong token.
    const late = await open();
    expect(await both(finder(late, form, key, aliasName), finder(late, form, sampleKey(), 'alias/none'))).toMatchObject(
      {
        present: 'KMSInternalException',
        absent: 'KMSInternalException',
      },
    );
    expect(broken).toEqual([]);
  });

  it('finds nothing where the row was changed by hand, and asks no more', async () => {
    const store = await open();
    const key = await aKey(store);
    const backend = await openSqlite(join(folder, 'store.db'), quiet);
    await backend.db.transaction().execute(async (trx) => {
      await trx.withTables<KeyTables>().updateTable('keys').set({ description: 'by hand' }).execute();
    });
    await backend.close();
    clock.nowMs += 3 * neverMs;
    const there = finder(store, form, key, aliasName);
    expect((await look(there)).found).toBe('creating');
    expect(broken).toEqual([`keys:${region}/${accountId}/${key.keyId}`]);
    expect(await look(there)).toEqual({ work: [], found: 'creating' });
  });
});

describe('the stand-in', () => {
  it('lets nobody in, by a policy that is evaluated as any other', async () => {
    const store = await open();
    const standIn = await store.foreign.key(stranger, { region, accountId, keyId: randomUUID() });
    const policy = parseKeyPolicy(standIn!.policy);
    for (const asker of [stranger, accountId, ''])
      expect(evaluateKeyPolicy(policy, { accountId: asker, action: 'kms:Decrypt', keyArn: 'any' })).not.toBe('allow');
  });

  it('is no row: nothing of it is in the store', async () => {
    const store = await open();
    await store.foreign.key(stranger, { region, accountId, keyId: randomUUID() });
    expect(await everyKey(store, region)).toEqual([]);
    expect(await all(store.keys.checkSeals(region))).toEqual([0]);
  });
});

describe('an account’s own', () => {
  it('is found by its ciphertext, and another account’s is not', async () => {
    const store = await open();
    const key = await aKey(store);
    const find = (asker: string) => store.keys.findByMaterial(region, ckaIdText(key), asker);
    expect(await find(accountId)).toEqual(key);
    expect(await find(stranger)).toBeUndefined();
    // Known to be another's, or nobody's, without another query.
    const unknown = randomBytes(16).toString('hex');
    expect(await store.keys.findByMaterial(region, unknown, stranger)).toBeUndefined();
    work.length = 0;
    await find(stranger);
    await store.keys.findByMaterial(region, unknown, stranger);
    expect(work).toEqual([]);
    const born = sampleKey();
    expect(await store.keys.findByMaterial(region, ckaIdText(born), accountId)).toBeUndefined();
    await store.keys.insert(born);
    expect(await store.keys.findByMaterial(region, ckaIdText(born), accountId)).toEqual(born);
  });
});
