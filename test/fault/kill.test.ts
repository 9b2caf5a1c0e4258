// kill -9 of any process, at any moment of a load of 10,000 mixed operations: what was acknowledged is there, what is there is accounted for.
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DecryptCommand,
  DescribeKeyCommand,
  type KMSClient,
  ListAliasesCommand,
  ListResourceTagsCommand,
} from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestDaemon, until } from '../support/daemon.js';
import { eventsById, expectedObjects, expectSoundAudit, sql, tokenObjects } from '../support/inside.js';
import { Outages } from './outages.js';
import { seeded } from '../support/seeded.js';
import { remember, type Remembered, runLoad } from './load.js';

const regions = ['us-east-1', 'ap-northeast-2'];
const operations = 10_000;
const kills = 18;
// Other moments in each run; the seed is in the test's name, and KILL_SEED takes it.
const seed = Number(process.env['KILL_SEED'] ?? randomInt(2 ** 31));

let daemon: TestDaemon;
let memory: Remembered;
const clients = new Map<string, KMSClient>();
const client = (region: string): KMSClient => clients.get(region)!;

async function start(): Promise<void> {
  await daemon.start();
  daemon.forgetClients();
  for (const region of regions) clients.set(region, daemon.client(region));
}

beforeAll(async () => {
  daemon = new TestDaemon();
  memory = remember();
  await start();
});
afterAll(async () => {
  await daemon.clean();
});

/** Runs `use` over all, some at a time. */
async function each<T>(items: readonly T[], use: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const worker = async (): Promise<void> => {
    for (let item = rest.pop(); item !== undefined; item = rest.pop()) await use(item);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

describe(`a load of ${operations} operations (seed ${seed})`, () => {
  it(`runs through ${kills} kills without an answer that a kill does not explain`, async () => {
    const random = seeded(seed);
    const victims = ['gateway', 'token-host', 'gateway', 'token-host', 'supervisor'] as const;
    const killed: string[] = [];
    const outages = new Outages();
    let done = 0;
    const killer = async (): Promise<void> => {
      for (let i = 0; i < kills; i++) {
        const from = ((i + random()) * operations) / (kills + 1);
        while (done < from) await sleep(5);
        await sleep(random() * 20);
        const victim = victims[i % victims.length]!;
        const region = victim === 'token-host' ? regions[i % 2] : undefined;
        await until(
          () => {
            const isKilled = daemon.kill(victim, region) > 0;
            if (isKilled && victim !== 'gateway') outages.killed(region === undefined ? regions : [region]);
            return isKilled;
          },
          () => `there is no ${victim} to kill:\n${daemon.said().slice(-3000)}`,
        );
        killed.push(victim);
        if (victim === 'supervisor') await outages.restart(regions, start);
      }
    };
    const load = runLoad(
      {
        operations,
        concurrency: 16,
        random: seeded(seed + 1),
        regions,
        client,
        outages,
        onProgress: (count) => (done = count),
        afterRefusal: () => sleep(10),
      },
      memory,
    );
    await Promise.all([load, killer()]);
    expect(killed).toHaveLength(kills);
    expect(memory.strange).toEqual([]);
    // Most were answered, or the kills were not what was tested.
    expect(memory.acknowledged.size).toBeGreaterThan(operations * 0.9);
  }, 600_000);

  it('lost no acknowledged key, ciphertext, alias, tag or state', async () => {
    expect(await daemon.stop()).toBe(0);
    await start();
    const wrong: string[] = [];
    await each([...memory.states], async ([arn, state]) => {
      const { KeyMetadata } = await client(arn.split(':')[3]!).send(new DescribeKeyCommand({ KeyId: arn }));
      if (state !== undefined && KeyMetadata?.KeyState !== state) {
        wrong.push(`${arn} is ${String(KeyMetadata?.KeyState)}, not ${state}`);
      }
    });
    await each(memory.ciphertexts, async ({ region, keyArn, blob, context, plaintext }) => {
      const command = new DecryptCommand({ CiphertextBlob: blob, EncryptionContext: context, KeyId: keyArn });
      const { Plaintext } = await client(region).send(command);
      if (Buffer.from(Plaintext!).toString('latin1') !== plaintext) wrong.push(`a ciphertext under ${keyArn}`);
    });
    const aliases = new Map<string, string>();
    for (const region of regions) {
      const { Aliases } = await client(region).send(new ListAliasesCommand({ Limit: 1000 }));
      for (const { AliasName, TargetKeyId } of Aliases ?? []) aliases.set(`${region} ${AliasName!}`, TargetKeyId!);
    }
    for (const [at, keyId] of memory.aliases) {
      const is = aliases.get(at) ?? 'none';
      if (keyId !== undefined && is !== keyId) wrong.push(`${at} is ${is}, not ${keyId}`);
    }
    await each(memory.keys, async ({ region, arn }) => {
      const { Tags } = await client(region).send(new ListResourceTagsCommand({ KeyId: arn, Limit: 50 }));
      const is = new Map(Tags?.map(({ TagKey, TagValue }) => [TagKey!, TagValue!]));
      for (const [at, value] of memory.tags) {
        const [ofArn, tag] = at.split(' ');
        if (ofArn === arn && value !== undefined && is.get(tag!) !== value) wrong.push(`tag ${at}`);
      }
    });
    expect(wrong).toEqual([]);
  });

  it.each(regions)('left no orphan in the token of %s, and no unfinished key', (region) => {
    expect(tokenObjects(daemon.home, region)).toEqual(expectedObjects(daemon.home, region));
    const unfinished = sql(
      daemon.home,
      `select key_id, status from keys where region = ? and (status = 'creating' or pending_material_id is not null or material_missing = 1)`,
      region,
    );
    expect(unfinished).toEqual([]);
  });

  it('left a whole audit log with exactly one event for each acknowledged call', async () => {
    expect(await daemon.stop()).toBe(0);
    await expectSoundAudit(daemon.home);
    const events = eventsById(daemon.home);
    const wrong = [...memory.acknowledged].filter(([id, operation]) => {
      const [event, ...others] = events.get(id) ?? [];
      return event?.eventName !== operation || event.errorCode !== undefined || others.length > 0;
    });
    expect(wrong).toEqual([]);
  });
});
