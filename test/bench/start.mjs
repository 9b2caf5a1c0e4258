// What a gateway's start and use cost with many keys: store and reconcile as in dist, on a token made of node:crypto. Another process fills
// the database, so that this one's memory is that of the start alone; CPU time is there since wall time is the machine's, too.
// Arguments: how many keys, `largest` or `ordinary`, how many of them to use (default: all). Prints one line of JSON. `node --max-old-space-size=64 test/bench/start.mjs 3000 largest`
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as otherWork } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../dist/kernel/clock.js';
import { systemRandom } from '../../dist/kernel/random.js';
import { systemTimers } from '../../dist/kernel/timers.js';
import { authorize } from '../../dist/pipeline/authorize.js';
import { reconcile } from '../../dist/pipeline/maintenance.js';
import { openStore } from '../../dist/store/open.js';
import { accountId, fillKeys, region } from './key-rows.mjs';
import { watchTurns } from './stalls.mjs';

const [count, kind, used] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4] ?? process.argv[2])];
/** Of a child: what it is to do, and where. */
const [role, place] = process.argv.slice(5);
const folder = place ?? mkdtempSync(join(tmpdir(), 'hsmb-start-'));
const path = join(folder, 'store.db');
const inToken = join(folder, 'token');
const hmac = (data) => createHmac('sha256', 'row seal').update(data).digest();
const idBytes = 16;
/** All CKA_IDs of the token in their order, one after the other. */
let objects = Buffer.alloc(0);
const objectAt = (n) => objects.subarray(n * idBytes, (n + 1) * idBytes);

function countUpTo(after) {
  let [low, high] = [0, objects.length / idBytes];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (objectAt(middle).compare(after) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

const token = {
  info: async () => ({ label: 'fake', serial: '1' }),
  createDaemonKeys: async () => undefined,
  // A real one is another process: the event loop turns.
  async inventory(after, limit) {
    await otherWork();
    const from = after === undefined ? 0 : countUpTo(after);
    const length = Math.min(limit, objects.length / idBytes - from);
    return Array.from({ length }, (_, n) => Buffer.from(objectAt(from + n)));
  },
  async macRow(data) {
    await otherWork();
    return hmac(data);
  },
};

const keyStore = { region, keyStore: undefined };
const tokens = { of: () => token, keyStoresOf: () => [keyStore] };

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
const textsOf = kind === 'largest' ? largest : undefined;

const open = () =>
  openStore({
    path,
    tokens,
    defaultRegion: region,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    shared: false,
    onBroken: (table, id) => console.error(`broken: ${table} ${id}`),
    onFault: (fault) => console.error(fault),
  });

async function fill() {
  await (await open()).close();
  writeFileSync(inToken, fillKeys(path, count, hmac, textsOf));
}

/** Runs `work`; gives its time and CPU time, and those of the longest turn of the event loop (stalls.mjs). All in ms. */
async function watched(work) {
  const longest = { stallMs: 0, stallCpuMs: 0 };
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  const end = watchTurns(({ ms, cpuMs }) => {
    longest.stallMs = Math.max(longest.stallMs, ms);
    longest.stallCpuMs = Math.max(longest.stallCpuMs, cpuMs);
  });
  await work();
  end();
  const { user, system } = process.cpuUsage(cpu);
  const figures = { ms: performance.now() - begun, cpuMs: (user + system) / 1000, ...longest };
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Math.round(value)]));
}

const caller = { principal: { type: 'Root', accountId, arn: 'arn', accessKeyId: 'AKIA' }, region, service: 'kms' };
const resource = { kind: 'key', permission: 'kms:Encrypt' };
const megabytes = () => Math.round(process.memoryUsage.rss() / 1024 / 1024);

async function measure() {
  objects = readFileSync(inToken);
  globalThis.gc?.();
  const rssMb = { before: megabytes() };
  let store;
  // Before the process listens to anybody; as long for one key.
  const opening = await watched(async () => (store = await open()));
  const start = await watched(async () => {
    const services = { store, tokens, clock: { now: () => Date.now() }, timers: systemTimers };
    const { missing, unknown } = await reconcile(services, keyStore, console.error);
    if (missing.count > 0 || unknown > 0) throw new Error('not what was written');
  });
  rssMb.started = megabytes();
  // What the upkeep job looks at each minute.
  const upkeep = await watched(async () => {
    for await (const key of store.keys.due(keyStore, Date.now())) throw new Error(key.keyId);
    for await (const key of store.keys.unsettled(keyStore, 'all')) throw new Error(key.keyId);
    for await (const key of store.keys.withoutMaterial(keyStore)) throw new Error(key.keyId);
  });
  rssMb.upkeep = megabytes();
  // All of them, as after each start, with the event loop's turn for a pause.
  const seals = await watched(async () => {
    let checked = 0;
    for await (const rows of store.keys.checkSeals(region)) {
      checked += rows;
      await otherWork();
    }
    if (checked !== count) throw new Error('not what was written');
  });
  rssMb.checked = megabytes();
  const keyIds = used === 0 ? [] : await store.keys.list({ region, accountId }, { after: undefined, limit: used });
  const use = await watched(async () => {
    for (const keyId of keyIds) {
      const key = await store.keys.find({ region, accountId, keyId });
      authorize(caller, { crossAccount: true }, [{ name: 'key', resource, ownerId: accountId, key }], {}, (error) => {
        throw error;
      });
    }
  });
  rssMb.used = megabytes();
  await store.close();
  console.log(JSON.stringify({ count, kind, opening, start, upkeep, seals, use, rssMb }));
}

if (role === 'fill') await fill();
else if (role === 'measure') await measure();
else {
  const child = (what) => {
    // As gateways run (process/entry.ts), and with the flags that this process was given.
    const flags = ['--max-semi-space-size=8', ...process.execArgv];
    const words = [fileURLToPath(import.meta.url), String(count), kind, String(used), what, folder];
    const env = { ...process.env, MALLOC_ARENA_MAX: '1' };
    execFileSync(process.execPath, [...flags, ...words], { stdio: 'inherit', env });
  };
  try {
    child('fill');
    child('measure');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
