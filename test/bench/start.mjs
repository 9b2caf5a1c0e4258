// What a gateway's start and use cost with many keys: store and reconcile as in dist, on a token made of node:crypto.
// Arguments: how many keys, `largest` or `ordinary`, how many of them to use (default: all). Prints one line of JSON. `node --max-old-space-size=64 test/bench/start.mjs 3000 largest`
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as otherWork } from 'node:timers/promises';
import Database from 'libsql';
import { authorize } from '../../dist/pipeline/authorize.js';
import { reconcile } from '../../dist/pipeline/maintenance.js';
import { keyColumns, keys } from '../../dist/store/key-row.js';
import { openStore } from '../../dist/store/open.js';
import { encodeRow } from '../../dist/store/seal.js';
import { defaultKeyPolicy } from '../../dist/policy/document.js';

const [count, kind, used] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4] ?? process.argv[2])];
const [region, accountId] = ['us-east-1', '000000000000'];
const folder = mkdtempSync(join(tmpdir(), 'hsmb-start-'));
const path = join(folder, 'store.db');
const hmac = (data) => createHmac('sha256', 'row seal').update(data).digest();
const objects = [];
const token = {
  info: async () => ({ label: 'fake', serial: '1' }),
  createDaemonKeys: async () => undefined,
  async inventory(after, limit) {
    const from = after === undefined ? 0 : objects.findIndex((id) => id.compare(after) > 0);
    return from < 0 ? [] : objects.slice(from, from + limit);
  },
  // A real one is another process: the event loop turns.
  async sealRow(data) {
    await otherWork();
    return hmac(data);
  },
};

/** 32 KB of statements, 8,192 characters of description, 50 tags at their limits; two bytes a character where AWS allows it. */
function largest(n) {
  const shared = { Effect: 'Allow', Principal: { AWS: accountId }, Action: 'kms:*', Resource: '*' };
  // No two keys have the same policy, and no two statements the same Sid.
  const statements = Array.from({ length: 260 }, (_, index) => JSON.stringify({ Sid: `of${n}at${index}`, ...shared }));
  return {
    policy: `{"Version":"2012-10-17","Statement":[${statements.join()}]}`,
    description: '鍵'.repeat(8_192),
    tags: Array.from({ length: 50 }, (_, n) => ({ TagKey: `${n}`.padEnd(128, '札'), TagValue: '値'.repeat(256) })),
  };
}
const ordinary = () => ({
  policy: defaultKeyPolicy(accountId),
  description: 'payroll',
  tags: [{ TagKey: 'team', TagValue: 'x' }],
});
const textsOf = kind === 'largest' ? largest : ordinary;

const open = () =>
  openStore({
    path,
    tokens: { of: () => token },
    defaultRegion: region,
    clock: { now: () => Date.now(), monotonicMs: () => performance.now() },
    shared: false,
    onBroken: (table, id) => console.error(`broken: ${table} ${id}`),
    onFault: (fault) => console.error(fault),
  });

async function fill() {
  await (await open()).close();
  const database = new Database(path);
  database.pragma('synchronous = OFF');
  database.exec('begin');
  const columns = Object.keys(keyColumns(newKey(0), 1));
  const insertKey = database.prepare(
    `insert into keys (${[...columns, 'seal'].join()}) values (${Array(columns.length + 1)
      .fill('?')
      .join()})`,
  );
  const insertMaterial = database.prepare('insert into materials values (?, ?, ?, ?)');
  const refs = [];
  for (let n = 0; n < count; n++) {
    const key = newKey(n);
    const row = keyColumns(key, 1);
    insertKey.run([...columns.map((name) => row[name]), hmac(encodeRow(keys, row))]);
    const ckaId = key.backingKeys[0].materialId.slice(0, 32);
    insertMaterial.run([region, ckaId, accountId, key.keyId]);
    objects.push(Buffer.from(ckaId, 'hex'));
    refs.push(key.keyId);
  }
  objects.sort((a, b) => a.compare(b));
  database.exec('commit');
  database.pragma('wal_checkpoint(truncate)');
  database.close();
  return refs;
}

function newKey(n) {
  const backing = { materialId: randomBytes(32).toString('hex'), strategy: 'gcm-host-iv', createdAtMs: 1 };
  return {
    ...{ region, accountId, keyId: randomUUID(), status: 'enabled', materialMissing: false, spec: 'SYMMETRIC_DEFAULT' },
    ...{ usage: 'ENCRYPT_DECRYPT', createdAtMs: 1, deletionAtMs: undefined, backingKeys: [backing], ...textsOf(n) },
    ...{ pendingMaterialId: undefined, life: 'bench' },
  };
}

/** Runs `work`; gives its time and the longest time in which nothing else could run, both in ms. */
async function watched(work) {
  let [last, longest] = [performance.now(), 0];
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const timer = setInterval(look, 1);
  const begun = performance.now();
  await work();
  look();
  clearInterval(timer);
  return { ms: Math.round(performance.now() - begun), longestStallMs: Math.round(longest) };
}

const caller = { principal: { type: 'Root', accountId, arn: 'arn', accessKeyId: 'AKIA' }, region, service: 'kms' };
const resource = { kind: 'key', permission: 'kms:Encrypt' };
const megabytes = () => Math.round(process.memoryUsage.rss() / 1024 / 1024);

try {
  const refs = await fill();
  globalThis.gc?.();
  const rss = [megabytes()];
  let store;
  const start = await watched(async () => {
    store = await open();
    const services = { store, token: () => token, clock: { now: () => Date.now() } };
    const { missing, unknown } = await reconcile(services, region, console.error);
    if (missing.count > 0 || unknown > 0) throw new Error('not what was written');
  });
  rss.push(megabytes());
  const use = await watched(async () => {
    for (const keyId of refs.slice(0, used)) {
      const key = await store.keys.find({ region, accountId, keyId });
      authorize(caller, { crossAccount: true }, [{ name: 'key', resource, ownerId: accountId, key }], {}, (error) => {
        throw error;
      });
    }
  });
  rss.push(megabytes());
  const seals = await watched(async () => {
    let checked = 0;
    for await (const rows of store.keys.checkSeals(region)) if ((checked += rows) >= used) break;
  });
  rss.push(megabytes());
  // What the upkeep job looks at each minute.
  const upkeep = await watched(async () => {
    for await (const key of store.keys.due(region, Date.now())) throw new Error(key.keyId);
    for await (const key of store.keys.unsettled(region, 'all')) throw new Error(key.keyId);
    for await (const key of store.keys.withoutMaterial(region)) throw new Error(key.keyId);
  });
  await store.close();
  console.log(
    JSON.stringify({
      count,
      kind,
      start,
      use,
      seals,
      upkeep,
      rssMb: { before: rss[0], started: rss[1], used: rss[2], checked: rss[3] },
    }),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
