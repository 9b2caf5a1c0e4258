// What the audit tests share: a folder of their own, records to append, and the lane's lines read without the project's code.
import { systemRandom } from '../../src/kernel/random.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { type AuditLane, type AuditLaneOptions, openAuditLane } from '../../src/audit/lane.js';
import type { BadLine } from '../../src/audit/chain.js';
import { verifyLane } from '../../src/audit/verify.js';
import { systemClock } from '../../src/kernel/clock.js';

const folders: string[] = [];
const lanes: AuditLane[] = [];

afterEach(async () => {
  for (const lane of lanes.splice(0)) await lane.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

export function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-audit-'));
  folders.push(folder);
  return folder;
}

export async function open(directory: string, options: Partial<AuditLaneOptions> = {}): Promise<AuditLane> {
  const lane = await openAuditLane({
    directory,
    lane: 0,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    ...options,
  });
  lanes.push(lane);
  return lane;
}

export const record = (n: number, extra = ''): string =>
  JSON.stringify({ eventName: 'Encrypt', requestID: `request-${n}`, n, extra });

export interface Line {
  lane: number;
  seq: number;
  prev: string;
  kind: string;
  record: { eventName: string; requestID: string; n?: number; serviceEventDetails?: Record<string, unknown> };
}

export const files = (directory: string, lane = 0): string[] =>
  readdirSync(join(directory, `lane-${lane}`))
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .map((name) => join(directory, `lane-${lane}`, name));

export const lines = (directory: string, lane = 0): Line[] =>
  files(directory, lane).flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line),
  );

/** Lane 0, with its records parsed. */
export async function verified(directory: string): Promise<{ readonly records: number; readonly damage?: BadLine }> {
  const { records, damage } = await verifyLane({ directory, lane: 0, parse: true });
  return damage === undefined ? { records } : { records, damage };
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
