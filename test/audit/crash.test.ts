// A writer process killed again and again, a disk that is really full, and a file-size limit: no acknowledged record is ever missing.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { files, lines, open, ownFolder, record, until, verified } from './lane-fixture.js';

const writer = join(import.meta.dirname, 'writer.mjs');
const built = join(import.meta.dirname, '../../dist/audit/lane.js');

/** Lines the writer printed until `enough` of them; then SIGKILL. */
async function runAndKill(child: ChildProcess, enough: (line: string, count: number) => boolean): Promise<string[]> {
  const printed: string[] = [];
  let errors = '';
  child.stderr!.on('data', (text: Buffer) => (errors += text.toString()));
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout! })) {
    printed.push(line);
    if (enough(line, printed.length)) child.kill('SIGKILL');
  }
  await exited;
  expect(errors).toBe('');
  // The last line may be torn by the kill; it was acknowledged all the same, but cannot be told from its beginning.
  return printed.slice(0, -1);
}

const numbersOf = (directory: string): Set<number | undefined> =>
  new Set(lines(directory).map((line) => line.record.n));

describe('a writer', () => {
  it('killed at any moment has every acknowledged record on the disk', async () => {
    if (!existsSync(built)) throw new Error('dist is missing: run scripts/setup');
    const directory = ownFolder();
    const acknowledged: number[] = [];
    for (let round = 0; round < 12; round++) {
      const child = spawn(process.execPath, [writer, directory, String(round * 1_000_000), '40000'], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const enough = 1 + ((round * 397) % 1500);
      const printed = await runAndKill(child, (_, count) => count >= enough);
      acknowledged.push(...printed.map(Number));
    }
    expect(acknowledged.length).toBeGreaterThan(1000);
    expect(acknowledged.every(Number.isInteger)).toBe(true);
    const lane = await open(directory);
    await lane.append('event', record(-1));
    await lane.close();
    const written = numbersOf(directory);
    expect(acknowledged.filter((n) => !written.has(n))).toEqual([]);
    expect(await verified(directory)).toEqual({ records: lines(directory).length });
  });

  it('at its limit of file size refuses, says so, and loses nothing', async () => {
    const directory = ownFolder();
    // 600 KiB per file: room for the reserve, not for what a resume asks for.
    const child = spawn(
      'bash',
      ['-c', `ulimit -f 600 && exec "$@"`, 'bash', process.execPath, writer, directory, '0', '100000000'],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const saysSo = (): boolean => readFileSync(files(directory).at(-1)!, 'utf8').includes('"AuditSuspended"');
    const printed = await runAndKill(child, (line) => line.startsWith('refused') && saysSo());
    expect(new Set(printed.filter((line) => line.startsWith('refused')))).toEqual(
      new Set(['refused KMSInternalException EFBIG']),
    );
    const acknowledged = printed.filter((line) => !line.startsWith('refused')).map(Number);
    const lane = await open(directory);
    const names = lines(directory).map((line) => line.record.eventName);
    expect(names.at(-1)).toBe('AuditSuspended');
    await lane.append('event', record(-1));
    await lane.close();
    const written = numbersOf(directory);
    expect(acknowledged.filter((n) => !written.has(n))).toEqual([]);
    expect(await verified(directory)).toEqual({ records: lines(directory).length });
  });
});

describe('a full disk', () => {
  it('stops the log with a last word, and the log comes back when there is room', async () => {
    const directory = ownFolder();
    const options = { encoding: 'utf8' } as const;
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', directory], options);
    if (mounted.status !== 0) throw new Error(`a small file system is needed (root may mount one): ${mounted.stderr}`);
    try {
      await fillDisk(directory);
    } finally {
      spawnSync('umount', [directory]);
    }
  });
});

async function fillDisk(directory: string): Promise<void> {
  const lane = await open(directory, { probeMs: 20 });
  const ballast = join(directory, 'ballast');
  writeFileSync(ballast, Buffer.alloc(3 * 1024 * 1024));
  const acknowledged: number[] = [];
  let n = 0;
  while (lane.state().writable) {
    const round = Array.from({ length: 16 }, () => n++);
    const results = await Promise.allSettled(round.map((id) => lane.append('event', record(id, 'x'.repeat(1000)))));
    results.forEach(({ status }, k) => status === 'fulfilled' && acknowledged.push(round[k]!));
  }
  expect(lane.state()).toMatchObject({ writable: false, reason: 'ENOSPC' });
  expect(acknowledged.length).toBeGreaterThan(100);
  await until(() => lines(directory).at(-1)?.record.eventName === 'AuditSuspended');
  const before = lines(directory).length;
  for (let k = 0; k < 20; k++)
    await expect(lane.append('event', record(n))).rejects.toMatchObject({ code: 'KMSInternalException' });
  // Several probes later it is still stopped: the room of the reserve is not taken for room.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(lane.state().writable).toBe(false);
  expect(lines(directory)).toHaveLength(before);
  // A probe fills the disk for as long as it looks, and gives the room back.
  await until(() => statfsSync(directory).bavail > 0);

  rmSync(ballast);
  await until(() => lane.state().writable);
  await lane.append('event', record(-1));
  await lane.close();
  const written = numbersOf(directory);
  expect(acknowledged.filter((id) => !written.has(id))).toEqual([]);
  expect(
    lines(directory)
      .slice(before)
      .map((line) => line.record.eventName),
  ).toEqual(['AuditResumed', 'Encrypt']);
  expect(lines(directory)[before]!.record.serviceEventDetails).toMatchObject({ reason: 'ENOSPC', refusedCalls: 0 });
  expect(await verified(directory)).toEqual({ records: lines(directory).length });
}
