// Real processes on one SQLite file: killed while they write, started at the same time, and on a disk that is full.
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { compiled, type Compiled } from './compiled.js';
import { FakeToken } from '../support/fake-token.js';
import { all, everyKey, neverMs } from './bench.js';
import { keyStore, region } from './samples.js';
import { sqliteDatabase, type SqliteFile } from './sqlite-database.js';

let writer: Compiled;
let file: SqliteFile;
const running = new Set<ChildProcessWithoutNullStreams>();

beforeAll(() => {
  writer = compiled('test/store/writer-process.ts');
});
afterAll(() => writer.dispose());
beforeEach(() => {
  file = sqliteDatabase();
});
afterEach(async () => {
  for (const child of running) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  running.clear();
  file.dispose();
});

interface Writer {
  readonly child: ChildProcessWithoutNullStreams;
  readonly lines: string[];
  /** Resolves at the first line for which `accept` holds, or when the process is gone. */
  readonly until: (accept: (line: string) => boolean) => Promise<void>;
  readonly ended: Promise<unknown>;
}

const tokenFile = () => join(file.folder, 'token');

function start(count: number, shell?: string): Writer {
  const args = [writer.program, file.path, tokenFile(), String(count)];
  const child =
    shell === undefined
      ? spawn(process.execPath, args)
      : spawn('bash', ['-c', `${shell} && exec "$0" "$@"`, process.execPath, ...args]);
  running.add(child);
  child.stderr.pipe(process.stderr);
  const lines: string[] = [];
  const reader = createInterface(child.stdout);
  reader.on('line', (line) => lines.push(line));
  const ended = Promise.all([once(reader, 'close'), once(child, 'exit')]);
  const until = (accept: (line: string) => boolean) =>
    new Promise<void>((resolve) => {
      if (lines.some(accept)) resolve();
      reader.on('line', (line) => {
        if (accept(line)) resolve();
      });
      void ended.then(() => resolve());
    });
  return { child, lines, until, ended };
}

const ids = (lines: readonly string[], word: string): string[] =>
  lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.split(' ')[1] ?? '');

/** Ids of all keys, each seal checked. */
async function storedIds(): Promise<string[]> {
  const token = new FakeToken(tokenFile());
  const store = await file.open({
    tokens: { of: () => token, keyStoresOf: () => [keyStore] },
    clock: { now: () => 0, monotonicMs: () => 0 },
    shared: false,
    pollMs: neverMs,
    onBroken: () => undefined,
    onFault: () => undefined,
  });
  const keys = await everyKey(store, region);
  await all(store.keys.checkSeals(region));
  expect(store.integrityFailures()).toEqual([]);
  await store.close();
  return keys.map((key) => key.keyId);
}

describe('processes on one SQLite file', () => {
  it('keeps every acknowledged key when a writer is killed, again and again', async () => {
    const acknowledged: string[] = [];
    for (let round = 0; round < 4; round++) {
      const { child, lines, until, ended } = start(0);
      const goal = 20 + 17 * round;
      await until(() => lines.length >= goal);
      child.kill('SIGKILL');
      await ended;
      expect(child.signalCode).toBe('SIGKILL');
      acknowledged.push(...ids(lines, 'stored'));
      const stored = await storedIds();
      expect(stored).toEqual(expect.arrayContaining(acknowledged));
      // At most the one that was being written when the process died.
      expect(stored.length - acknowledged.length).toBeLessThanOrEqual(round + 1);
    }
    expect(acknowledged.length).toBeGreaterThanOrEqual(180);
  });

  it('serves gateways that start at the same time on a new file', async () => {
    const writers = Array.from({ length: 4 }, () => start(25));
    await Promise.all(writers.map(({ ended }) => ended));
    const lines = writers.flatMap((one) => one.lines);
    expect(ids(lines, 'failed')).toEqual([]);
    expect(writers.map(({ child }) => child.exitCode)).toEqual([0, 0, 0, 0]);
    expect((await storedIds()).sort()).toEqual(ids(lines, 'stored').sort());
    // The token makes its keys for one of them alone.
    expect(ids(lines, 'created').sort()).toEqual(['0', '0', '0', '1']);
  });

  it('says so when the disk is full, loses nothing, and goes on when there is room again', async () => {
    const { child, lines, until, ended } = start(200, 'ulimit -S -f 512');
    await until((line) => line === 'waiting');
    expect(ids(lines, 'stored').length).toBeGreaterThan(5);
    const failures = lines.filter((line) => line.startsWith('failed '));
    expect(failures.map((line) => line.split(' ')[2])).toEqual(Array(3).fill('KMSInternalException'));
    execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=unlimited:unlimited']);
    child.stdin.write('go\n');
    await ended;
    expect(child.exitCode).toBe(0);
    expect(lines.filter((line) => line.startsWith('failed '))).toHaveLength(3);
    expect((await storedIds()).sort()).toEqual(ids(lines, 'stored').sort());
  });
});
