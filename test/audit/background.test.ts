// The verification beside a working lane: it sees what was changed in old files, holds nothing up, and raises no false alarm.
import { systemTimers } from '../../src/kernel/timers.js';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type AuditFinding,
  type BackgroundVerification,
  verifyInBackground,
  type VerificationOptions,
} from '../../src/audit/background.js';
import { systemDisk, type Disk } from '../../src/kernel/disk.js';
import { makeLane } from '../support/handmade-lane.js';
import { files, open, ownFolder, record, until } from './lane-fixture.js';

const running: BackgroundVerification[] = [];
afterEach(async () => {
  for (const verification of running.splice(0)) await verification.stop();
});

function begin(
  directory: string,
  options: Partial<VerificationOptions> = {},
): { readonly findings: AuditFinding[]; readonly verification: BackgroundVerification } {
  const findings: AuditFinding[] = [];
  const verification = verifyInBackground({
    directory,
    own: { lane: 0, lastSeq: () => 0 },
    clock: { now: () => Date.UTC(2026, 10, 27) },
    timers: systemTimers,
    onDamage: (finding) => findings.push(finding),
    bytesPerSecond: 1e9,
    ...options,
  });
  running.push(verification);
  return { findings, verification };
}

const rounds = (verification: BackgroundVerification): Promise<void> =>
  until(() => verification.state().endedAtMs !== undefined);

describe('the background verification', () => {
  it('says what it has read and that it holds', async () => {
    const home = ownFolder();
    for (const lane of [0, 1, 5]) makeLane(home, { lane });
    const { findings, verification } = begin(join(home, 'audit'));
    expect(verification.state()).toEqual({
      state: 'running',
      damagedLanes: 0,
      records: 0,
      endedAtMs: undefined,
      detail: 'running',
    });
    await rounds(verification);
    expect(verification.state()).toEqual({
      state: 'sound',
      damagedLanes: 0,
      records: 27,
      endedAtMs: Date.UTC(2026, 10, 27),
      detail: 'sound at 2026-11-27T00:00:00.000Z; 27 records',
    });
    expect(findings).toEqual([]);
  });

  it('finds an edit in an old file of any lane, goes on with the others, and tells it again in each round until it is mended', async () => {
    const home = ownFolder();
    const { paths } = makeLane(home, { lane: 1 });
    for (const lane of [0, 7]) makeLane(home, { lane });
    const sound = readFileSync(paths[0]!, 'utf8');
    writeFileSync(paths[0]!, sound.replace('request-1', 'request-9'));
    const finding = {
      lane: 1,
      file: '000000000001.jsonl',
      line: 2,
      reason: 'its prev is not the hash of the line before',
    };
    const { findings, verification } = begin(join(home, 'audit'), { everyMs: 1 });
    await until(() => findings.length > 2);
    expect(findings.slice(0, 2)).toEqual([finding, finding]);
    expect(verification.state()).toMatchObject({
      state: 'damaged',
      damagedLanes: 1,
      detail: 'damaged: lane 1, 000000000001.jsonl line 2: its prev is not the hash of the line before',
    });
    writeFileSync(paths[0]!, sound);
    await until(() => verification.state().state === 'sound');
    expect(verification.state().damagedLanes).toBe(0);
  });

  it('misses records that were there when it began', async () => {
    const home = ownFolder();
    const { paths } = makeLane(home, { closed: false });
    rmSync(paths[2]!);
    const { findings, verification } = begin(join(home, 'audit'), { own: { lane: 0, lastSeq: () => 9 } });
    await rounds(verification);
    expect(findings).toEqual([{ lane: 0, file: '000000000004.jsonl', line: 4, reason: 'records up to 9 are missing' }]);
  });

  it('raises no false alarm while its lane writes, rotates, fails and recovers', async () => {
    const directory = ownFolder();
    let failing = false;
    const disk: Disk = {
      ...systemDisk,
      create: async (path) => torn(await systemDisk.create(path)),
      openAppend: async (path) => torn(await systemDisk.openAppend(path)),
    };
    const torn = (file: Awaited<ReturnType<Disk['create']>>): typeof file => ({
      ...file,
      write: (bytes, offset, length) => file.write(bytes, offset, failing ? Math.min(length, 90) : length),
      datasync: () => (failing ? Promise.reject(new Error('simulated')) : file.datasync()),
    });
    const lane = await open(directory, { segmentBytes: 3000, disk, probeMs: 1 });
    for (let n = 0; n < 100; n++) await lane.append('event', record(n));
    const options = { everyMs: 1, pieceBytes: 700, own: { lane: 0, lastSeq: () => lane.state().lastSeq } };
    const { findings, verification } = begin(directory, options);
    let ended = 0;
    let running = false;
    for (let n = 100; n < 200 || ended < 3; n++) {
      failing = n % 40 === 0;
      await Promise.allSettled(
        Array.from({ length: 4 }, () => lane.append(n % 3 === 0 ? 'intent' : 'event', record(n))),
      );
      failing = false;
      await until(() => lane.state().writable);
      const now = verification.state().detail.includes('running');
      if (running && !now) ended += 1;
      running = now;
    }
    expect(findings).toEqual([]);
    expect(files(directory).length).toBeGreaterThan(10);
    expect(verification.state().state).toBe('sound');
  });

  it('reads a piece, waits, reads the next one, and stops at once', async () => {
    const home = ownFolder();
    const { paths } = makeLane(home, { linesPerFile: 1000 });
    let reads = 0;
    const disk: Disk = { ...systemDisk, read: (...words) => ((reads += 1), systemDisk.read(...words)) };
    const { findings, verification } = begin(join(home, 'audit'), { disk, bytesPerSecond: 1 });
    await until(() => reads > 0);
    for (let n = 0; n < 1000; n++) await turn();
    expect(reads).toBe(1);
    expect(verification.state().detail).toMatch(/^running: lane 0, 6\d{4} of \d{6} bytes, 000000000001\.jsonl$/);
    truncateSync(paths[0]!, 0);
    await verification.stop();
    expect(reads).toBe(1);
    expect(findings).toEqual([]);
  });

  it('says that it could not look', async () => {
    const home = ownFolder();
    makeLane(home);
    const disk: Disk = {
      ...systemDisk,
      read: () => Promise.reject(Object.assign(new Error('bad sector'), { code: 'EIO' })),
    };
    const { findings, verification } = begin(join(home, 'audit'), { disk });
    await rounds(verification);
    expect(findings).toEqual([{ lane: 0, file: undefined, line: 1, reason: 'it cannot be read (EIO)' }]);
    expect(verification.state().detail).toBe('damaged: lane 0: it cannot be read (EIO)');
  });
});
