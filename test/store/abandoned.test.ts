// What a gateway leaves half done when its host dies: a gateway that lives settles it at a turn of its upkeep, once that life is over by the
// database's clock. One that only slept loses nothing that it has answered, and cannot go on as if it had not slept.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Gateway } from '../../src/gateway/gateway.js';
import { createSettler } from '../../src/gateway/settle.js';
import { upkeepJob } from '../../src/gateway/upkeep.js';
import { BridgeError } from '../../src/kernel/errors.js';
import { systemRandom } from '../../src/kernel/random.js';
import { systemTimers, type Timers } from '../../src/kernel/timers.js';
import type { Key } from '../../src/model/key.js';
import { adopt } from '../../src/operations/backing-key.js';
import type { Services } from '../../src/operations/define.js';
import type { Store } from '../../src/ports/store.js';
import { MemoryAudit } from '../support/memory.js';
import { Bench } from './bench.js';
import { region, sampleKey, keyStore } from './samples.js';
import { sqliteDatabase } from './sqlite-database.js';

const everyMs = 60_000;
const silent = 'update lives set heartbeat_at_ms = heartbeat_at_ms - 61000 where host = ?';

let bench: Bench;
beforeEach(() => (bench = new Bench(sqliteDatabase())));
afterEach(() => bench.dispose());

interface Living {
  readonly store: Store;
  readonly services: Services;
  readonly audit: MemoryAudit;
  readonly gateway: Gateway;
  readonly said: string[];
  /** A turn of its upkeep. */
  turn(): Promise<void>;
}

async function live(host: string): Promise<Living> {
  const store = await bench.open();
  const life = await store.lives.begin({ host, lane: 0, lanes: 1 });
  const audit = new MemoryAudit();
  const said: string[] = [];
  const say = (line: string): void => void said.push(line);
  let next: () => void = () => undefined;
  let ended: () => void = () => undefined;
  const timers: Timers = {
    ...systemTimers,
    after(ms, call) {
      expect(ms).toBe(everyMs);
      next = call;
      ended();
      return () => undefined;
    },
  };
  const { tokens } = bench;
  const services = { store, audit, life, clock: bench.clock, timers, random: systemRandom, tokens };
  const gateway = {
    ...{ services, store, timers, clock: bench.clock, keeper: { look: () => Promise.resolve(undefined) } },
    tokens: { isUp: () => true },
    // Not the first lane: it would look at all seals meanwhile.
    config: { lane: 1, keyStores: [keyStore] },
    log: { error: say, warn: say, info: say, debug: () => undefined },
  } as unknown as Gateway;
  const settler = createSettler(gateway);
  let job: ReturnType<typeof upkeepJob> | undefined;
  const turn = async (): Promise<void> => {
    const hasEnded = new Promise<void>((resolve) => (ended = resolve));
    if (job !== undefined) next();
    else {
      await settler.tokenIsUp(keyStore).catch((error: unknown) => say(String(error)));
      job = upkeepJob(gateway, settler);
    }
    await hasEnded;
  };
  return { store, services: services as unknown as Services, audit, gateway, said, turn };
}

const events = ({ audit }: Living): unknown[] =>
  audit.records.filter(({ kind }) => kind === 'event').map(({ record }) => [record['eventName'], record['errorCode']]);

/** Four changes that were under way; of two the token has made the material. */
async function leaveHalfDone({
  store,
  services,
}: Living): Promise<Record<'made' | 'unmade' | 'turned' | 'unturned', Key>> {
  const change = (creating: boolean): Key => ({
    ...sampleKey(creating ? { status: 'creating', backingKeys: [] } : {}),
    pendingMaterialId: randomBytes(32).toString('hex'),
    life: services.life,
  });
  const keys = { made: change(true), unmade: change(true), turned: change(false), unturned: change(false) };
  for (const key of Object.values(keys)) await store.keys.insert(key);
  for (const { pendingMaterialId } of [keys.made, keys.turned])
    await bench.tokens.of(region).generateKey(Buffer.from(pendingMaterialId!.slice(0, 32), 'hex'), 'AES_256');
  return keys;
}

it('is settled by a living gateway, once that life is over and not before', async () => {
  const [one, other] = [await live('one'), await live('other')];
  await one.turn();
  const { made, unmade, turned, unturned } = await leaveHalfDone(other);
  await one.turn();
  expect(events(one)).toEqual([]);
  bench.database.administrate(silent, 'other');
  await one.turn();
  expect(events(one).sort()).toEqual([
    ['FinishCreateKey', undefined],
    ['FinishRotateKey', undefined],
    ['UndoCreateKey', undefined],
    ['UndoRotateKey', undefined],
  ]);
  expect(one.said.filter((line) => line.includes('gateways that are gone'))).toEqual([
    `${region}: finished or undid 4 key creations or rotations of gateways that are gone`,
  ]);
  const now = await Promise.all([made, unmade, turned, unturned].map((key) => one.store.keys.find(key)));
  expect(now.map((key) => key && [key.status, key.backingKeys.length, key.pendingMaterialId])).toEqual([
    ['enabled', 1, undefined],
    undefined,
    ['enabled', 2, undefined],
    ['enabled', 1, undefined],
  ]);
  const lines = one.audit.records.length;
  await one.turn();
  expect(one.audit.records.length).toBe(lines);
});

it('is settled by the upkeep where the settling at the start failed', async () => {
  const other = await live('other');
  await leaveHalfDone(other);
  bench.database.administrate(silent, 'other');
  const one = await live('one');
  const token = bench.tokens.of(region);
  const { holds, inventory } = token;
  const away = (): Promise<never> => Promise.reject(new BridgeError('DependencyTimeoutException'));
  Object.assign(token, { holds: away, inventory: away });
  await one.turn();
  expect(events(one)).toEqual([]);
  Object.assign(token, { holds, inventory });
  await one.turn();
  expect(events(one)).toHaveLength(4);
});

it('stays as its gateway has finished it that slept and woke meanwhile', async () => {
  const [one, other] = [await live('one'), await live('other')];
  await one.turn();
  const { unmade } = await leaveHalfDone(other);
  bench.database.administrate(silent, 'other');
  const token = bench.tokens.of(region);
  const { holds } = token;
  token.holds = async (ckaId) => {
    const there = await holds(ckaId);
    const ours = unmade.pendingMaterialId!;
    if (ckaId.toString('hex') !== ours.slice(0, 32)) return there;
    // The other one's call comes to its end now.
    await token.generateKey(ckaId, 'AES_256');
    await adopt(other.services, unmade, ours);
    return there;
  };
  await one.turn();
  bench.passTime();
  expect(await one.store.keys.find(unmade)).toMatchObject({ status: 'enabled', pendingMaterialId: undefined });
  expect(events(one)).toContainEqual(['UndoCreateKey', 'KMSInternalException']);
});

it('is not begun by a gateway that others hold to be gone; one that only slept is there again with its next change', async () => {
  const [one, other] = [await live('one'), await live('other')];
  bench.database.administrate(silent, 'other');
  const key = sampleKey({ status: 'creating', backingKeys: [], life: other.services.life });
  await other.store.keys.insert({ ...key, pendingMaterialId: 'ab'.repeat(32) });
  await one.turn();
  expect(events(one)).toEqual([]);
  await live('other');
  await expect(other.store.keys.insert(sampleKey({ life: other.services.life }))).rejects.toMatchObject({
    code: 'KMSInternalException',
  });
});
