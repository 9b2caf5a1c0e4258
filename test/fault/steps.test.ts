// kill -9 at steps of a key's creation and of its deletion, other ones each day (test/simulation ends processes at many more, in a world of its
// own): whatever the step, the next start ends with keys that have their material, material that has its key, and a log that says what became
// of each change.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { preloadUrl, type Role, TestDaemon, until } from '../support/daemon.js';
import { auditLines, expectedObjects, expectSoundAudit, sql, tokenObjects } from '../support/inside.js';

const region = 'us-east-1';
const dayMs = 86_400_000;
/** Longer than a lease: what the killed process held is free at the next start. */
const leaseMs = 10 * 60_000;

let control: string;
let daemon: TestDaemon;
let shiftMs: number;
beforeEach(() => {
  control = mkdtempSync(join(tmpdir(), 'hsm-bridge-steps-'));
  daemon = new TestDaemon();
  shiftMs = 0;
});
afterEach(async () => {
  try {
    await daemon.clean();
  } finally {
    rmSync(control, { recursive: true, force: true });
  }
});

const start = (): Promise<void> =>
  daemon.start({ shiftMs, preload: [preloadUrl('hurry-upkeep.mjs'), preloadUrl('kill-at-step.mjs', { control })] });

/** Time goes by without the daemon: more than it believes, so that its operator speaks. */
function passTime(ms: number): void {
  shiftMs += ms;
  daemon.confirmClock(shiftMs);
}

/** `at` undefined: the steps are written down. */
function arm(role: Role, from: string, at?: string): void {
  for (const name of ['hit', 'steps']) rmSync(join(control, name), { force: true });
  writeFileSync(join(control, 'arm'), JSON.stringify({ role, from, at }));
}

const said = (name: string): string => {
  const file = join(control, name);
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
};

/** Waits for what may still follow, ends the counting, and returns the steps that were written down. */
async function disarm(): Promise<readonly string[]> {
  await sleep(100);
  rmSync(join(control, 'arm'), { force: true });
  return said('steps').split('\n').slice(0, -1);
}

/** Each step takes several lives of a daemon: two are tried, other ones each day; all of them with STEPS=all. */
function turnOf<Step>(steps: readonly Step[]): readonly Step[] {
  if (process.env['STEPS'] === 'all') return steps;
  const first = (2 * Math.floor(Date.now() / dayMs)) % steps.length;
  return [...steps, ...steps].slice(first, first + 2);
}

const timeoutMs = process.env['STEPS'] === 'all' ? 3_600_000 : 300_000;

/** A start is ready before its process has done all that it does. */
const untilHit = (step: string): Promise<void> =>
  until(
    () => said('hit') === step,
    () => `step ${step} does not come:\n${daemon.said()}`,
  );

interface Kept {
  readonly arn: string;
  readonly ciphertext: Uint8Array;
}

async function makeKey(): Promise<Kept> {
  const kms = daemon.client(region);
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
  const arn = KeyMetadata?.Arn ?? '';
  const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId: arn, Plaintext: Buffer.from(arn) }));
  return { arn, ciphertext: CiphertextBlob! };
}

async function expectWorks({ arn, ciphertext }: Kept): Promise<void> {
  const { Plaintext } = await daemon.client(region).send(new DecryptCommand({ CiphertextBlob: ciphertext }));
  expect(Buffer.from(Plaintext ?? []).toString()).toBe(arn);
}

/** Of a daemon that has been started and is idle. */
async function expectConsistent(after: string): Promise<void> {
  expect(tokenObjects(daemon.home, region), `objects in the token, ${after}`).toEqual(
    expectedObjects(daemon.home, region),
  );
  const unfinished = sql(
    daemon.home,
    `select key_id, status, pending_material_id, material_missing from keys
     where status = 'creating' or pending_material_id is not null or material_missing = 1`,
  );
  expect(unfinished, `unfinished keys, ${after}`).toEqual([]);
  const orphans = sql(
    daemon.home,
    'select b.cka_id from backing_keys b left join keys k using (region, account_id, key_id) where k.key_id is null',
  );
  expect(orphans, `backing keys of no key, ${after}`).toEqual([]);
  await expectSoundAudit(daemon.home);
}

const createKey = (): Promise<string | undefined> =>
  daemon
    .client(region)
    .send(new CreateKeyCommand({}))
    .then(
      ({ KeyMetadata }) => KeyMetadata?.Arn,
      () => undefined,
    );

async function restart(): Promise<void> {
  await daemon.crash();
  await start();
}

describe.each([
  ['gateway', '"eventName":"CreateKey"', 'after commit (2)'],
  ['token-host', 'generate', 'after C_GenerateKey (1)'],
] as const)('the creation of a key, the %s killed', (role, from, included) => {
  it(
    'at every step: an acknowledged key is there, any other is whole or gone',
    async () => {
      await start();
      const kept = await makeKey();
      arm(role, from);
      expect(await createKey()).toBeDefined();
      const steps = await disarm();
      expect(steps).toContain(included);
      for (const [index, step] of turnOf(steps).entries()) {
        await restart();
        arm(role, from, step);
        const answered = await createKey();
        await untilHit(step);
        // Every other time the supervisor mends what was killed before everything goes.
        if (index % 2 === 0) {
          await until(
            () => daemon.pids(role).length > 0,
            () => `the ${role} is not started again`,
          );
        }
        await restart();
        await expectConsistent(`killed ${step}`);
        await expectWorks(kept);
        const kms = daemon.client(region);
        if (answered !== undefined)
          await kms.send(new EncryptCommand({ KeyId: answered, Plaintext: Buffer.from('x') }));
      }
    },
    timeoutMs,
  );
});

describe('what a killed gateway left of a key', () => {
  it(
    'is settled by the next start, itself killed at every step',
    async () => {
      const creation = ['gateway', '"eventName":"CreateKey"', 'after token generateKey (1)'] as const;
      const recovery = ['gateway', '"errorCode":"KMSInternalException"'] as const;
      /** Leaves an object in the token and a row that only announces it. */
      const leaveHalf = async (): Promise<void> => {
        arm(...creation);
        expect(await createKey()).toBeUndefined();
        expect(said('hit')).toBe(creation[2]);
        await daemon.crash();
      };
      await start();
      const kept = await makeKey();
      await leaveHalf();
      arm(...recovery);
      await start();
      const steps = await disarm();
      expect(steps).toContain('after token holds (1)');
      // A process counts once in its life.
      await restart();
      for (const step of turnOf(steps)) {
        await leaveHalf();
        arm(...recovery, step);
        await start();
        await untilHit(step);
        await restart();
        await expectConsistent(`killed ${step}`);
        await expectWorks(kept);
      }
    },
    timeoutMs,
  );
});

describe.each([
  ['gateway', '"eventName":"DeleteKey"', 'after token destroyScheduled (1)'],
  ['token-host', 'destroy', 'after C_DestroyObject (1)'],
] as const)('the deletion of a key that is due, the %s killed', (role, from, included) => {
  const rows = (arn: string): number =>
    sql(daemon.home, 'select key_id from keys where key_id = ?', arn.split('/')[1]).length;
  const outcomes = (arn: string): number =>
    auditLines(daemon.home).filter(({ kind, record }) => {
      const succeeded = kind === 'event' && record.eventName === 'DeleteKey' && record.errorCode === undefined;
      return succeeded && record.resources?.[0]?.ARN === arn;
    }).length;

  async function makeDoomed(alias: string): Promise<string> {
    const { arn } = await makeKey();
    const kms = daemon.client(region);
    await kms.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId: arn }));
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: arn, PendingWindowInDays: 7 }));
    return arn;
  }

  async function expectGone(arn: string, alias: string): Promise<void> {
    for (const KeyId of [arn, alias]) {
      await expect(daemon.client(region).send(new DescribeKeyCommand({ KeyId }))).rejects.toMatchObject({
        name: 'NotFoundException',
      });
    }
  }

  it(
    'at every step: it ends at the next start, and no other key is touched',
    async () => {
      await start();
      const kept = await makeKey();
      const first = await makeDoomed('alias/first');
      await daemon.crash();
      passTime(8 * dayMs);
      arm(role, from);
      await start();
      await until(
        () => outcomes(first) > 0,
        () => `the key that is due is not deleted:\n${daemon.said()}`,
      );
      const steps = await disarm();
      expect(steps).toContain(included);
      for (const step of turnOf(steps)) {
        const doomed = await makeDoomed('alias/doomed');
        await daemon.crash();
        passTime(8 * dayMs);
        arm(role, from, step);
        await start();
        await untilHit(step);
        await daemon.crash();
        passTime(leaseMs);
        await start();
        await until(
          () => rows(doomed) === 0 && auditLines(daemon.home).at(-1)?.kind === 'event',
          () => `the key is not deleted after a kill ${step}:\n${daemon.said()}`,
        );
        await expectConsistent(`killed ${step}`);
        await expectGone(doomed, 'alias/doomed');
        await expectWorks(kept);
      }
    },
    timeoutMs,
  );
});
