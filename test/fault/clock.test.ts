// A machine's clock that runs eight days ahead: nothing is deleted by it until an operator says that it is right.
import { CreateKeyCommand, ScheduleKeyDeletionCommand } from '@aws-sdk/client-kms';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { preloadUrl, TestDaemon, until } from '../support/daemon.js';
import { auditLines, sql, tokenObjects } from '../support/inside.js';

const region = 'us-east-1';
/** What an earlier process held of the upkeep's lease is free by the next start. */
const leaseMs = 10 * 60_000;
let shiftMs = 8 * 86_400_000;

let daemon: TestDaemon;
beforeEach(() => {
  daemon = new TestDaemon();
});
afterEach(() => daemon.clean());

const start = (ahead: number): Promise<void> =>
  daemon.start({ shiftMs: ahead, preload: [preloadUrl('hurry-upkeep.mjs')] });

const recorded = (eventName: string): number =>
  auditLines(daemon.home).filter(({ record }) => record.eventName === eventName).length;

it('holds deletions, over a restart, until its operator has spoken', async () => {
  await start(0);
  const kms = daemon.client(region);
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
  await kms.send(new ScheduleKeyDeletionCommand({ KeyId: KeyMetadata?.KeyId, PendingWindowInDays: 7 }));
  const objects = tokenObjects(daemon.home, region);
  for (const times of [1, 2]) {
    await daemon.stop();
    shiftMs += leaseMs;
    await start(shiftMs);
    await until(
      () => recorded('ClockDoubted') === times,
      () => daemon.said(),
    );
    const { checks } = JSON.parse((await daemon.admin('/health/ready')).text) as {
      checks: Record<string, { ok: boolean; detail?: string }>;
    };
    expect(checks['clock']).toEqual({ ok: false, detail: 'the clock was set forward by 8 days' });
    expect((await daemon.admin('/metrics')).text).toContain('hsm_bridge_clock_believed 0');
    expect(daemon.said()).toContain(`hsm-bridge confirm-clock --home ${daemon.home}`);
  }
  expect(sql(daemon.home, 'select status from keys')).toEqual([{ status: 'pendingDeletion' }]);
  expect(tokenObjects(daemon.home, region)).toEqual(objects);
  expect(recorded('DeleteKey')).toBe(0);

  shiftMs += leaseMs;
  expect(daemon.confirmClock(shiftMs)).toMatch(/^confirmed: it is \d{4}-\d\d-\d\dT/);
  await daemon.stop();
  await start(shiftMs);
  await until(
    () => sql(daemon.home, 'select status from keys').length === 0,
    () => daemon.said(),
  );
  expect(recorded('ClockConfirmed')).toBe(1);
});
