// The newest record's time, also beside what has a lane's name and is none.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { newestRecordMs } from '../../src/audit/newest.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-newest-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

it('is read from the lanes, whatever else has such a name', async () => {
  mkdirSync(join(directory, 'lane-0'));
  const line = JSON.stringify({ record: { eventTime: '2026-11-27T12:00:00Z' } });
  writeFileSync(join(directory, 'lane-0/000000000001.jsonl'), `${line}\n`);
  writeFileSync(join(directory, 'lane-8'), '');
  symlinkSync('/dev/zero', join(directory, 'lane-9'));
  expect(await newestRecordMs(directory)).toBe(Date.UTC(2026, 10, 27, 12));
});
