// A daemon whose older audit files were changed while nobody looked: it serves, and says so wherever an operator may look.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { GenerateRandomCommand } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestDaemon, until } from '../support/daemon.js';
import { makeLane } from '../support/handmade-lane.js';
import { auditLines } from '../support/inside.js';
import { startProgram } from '../process/program.js';

const edited = { lane: 0, file: '000000000001.jsonl', line: 2, reason: 'its prev is not the hash of the line before' };
const missing = { lane: 9, file: '000000000007.jsonl', line: 1, reason: 'records 4 to 6 are missing before it' };

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon();
  const { home } = daemon;
  const [first] = makeLane(home).paths;
  writeFileSync(first!, readFileSync(first!, 'utf8').replace('request-1"', 'request-8"'), { mode: 0o600 });
  makeLane(home, { lane: 1 });
  // No gateway of this daemon writes it.
  rmSync(makeLane(home, { lane: 9 }).paths[1]!);
  await daemon.start({ env: { HSM_BRIDGE_GATEWAYS: '2' } });
});
afterAll(async () => {
  await daemon.clean();
});

const damages = () => auditLines(daemon.home).filter(({ record }) => record.eventName === 'AuditDamaged');

describe('a daemon with damage in an older file of its log', () => {
  it('serves, and tells it in health, metrics, its log and the audit log itself', async () => {
    await until(
      () => damages().length === 2,
      () => `not found:\n${daemon.said()}`,
    );
    const { status, text } = await daemon.admin('/health/ready');
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({
      ready: true,
      checks: {
        audit: { ok: true },
        auditVerified: {
          ok: false,
          detail: `damaged: lane 0, ${edited.file} line 2: ${edited.reason}; lane 9, ${missing.file} line 1: ${missing.reason}`,
        },
      },
    });
    const metrics = (await daemon.admin('/metrics')).text.split('\n');
    expect(metrics).toContain('hsm_bridge_audit_damaged 2');
    expect(metrics.find((line) => /^hsm_bridge_audit_verified_records \d+$/.test(line))).toBeDefined();
    expect(
      Number(metrics.find((line) => line.startsWith('hsm_bridge_audit_verified_timestamp'))?.split(' ')[1]),
    ).toBeGreaterThan(1.7e9);
    expect(damages().map(({ kind, record }) => [kind, record.eventType, record.serviceEventDetails])).toEqual([
      ['event', 'AwsServiceEvent', edited],
      ['event', 'AwsServiceEvent', missing],
    ]);
    expect(daemon.run.errors()).toContain(`the audit log is damaged: lane 0, ${edited.file} line 2: ${edited.reason}`);
    const { Plaintext } = await daemon.client().send(new GenerateRandomCommand({ NumberOfBytes: 8 }));
    expect(Plaintext).toHaveLength(8);
  });

  it('can be looked at by an auditor while it runs', async () => {
    const verify = startProgram(['audit', 'verify', '--home', daemon.home, '--json'], {}, daemon.home);
    expect(await verify.ended).toBe(1);
    const { lanes } = JSON.parse(verify.output()) as { lanes: { lane: number; damage: object | null }[] };
    expect(lanes.map(({ lane, damage }) => damage && { lane, ...damage })).toEqual([edited, null, missing]);
  });
});
