// The lane on a real disk: format, rotation, recovery, the lock, and that verifyLane sees each changed byte.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AuditDamagedError } from '../../src/audit/recover.js';
import { AuditInUseError } from '../../src/audit/lock.js';
import { files, lines, open, ownFolder, record, verified } from './lane-fixture.js';

/** The chain computed by Python from the bytes on the disk: an implementation that knows nothing of ours. */
const pythonChain = `
import hashlib, json, sys, glob
prev, seq = '0' * 64, 0
for path in sorted(glob.glob(sys.argv[1] + '/*.jsonl')):
    for line in open(path, 'rb').read().splitlines(keepends=True):
        parsed = json.loads(line)
        seq += 1
        assert line.endswith(b'\\n') and b'\\n' not in line[:-1]
        assert list(parsed) == ['lane', 'seq', 'prev', 'kind', 'record'], parsed
        assert parsed['prev'] == prev and parsed['seq'] == seq, (path, seq)
        prev = hashlib.sha256(line).hexdigest()
print(seq, prev)
`;

const python = (folder: string): string =>
  execFileSync('python3', ['-c', pythonChain, folder], { encoding: 'utf8' }).trim();

async function fill(directory: string, count: number, from = 0, segmentBytes?: number): Promise<void> {
  const lane = await open(directory, segmentBytes === undefined ? {} : { segmentBytes });
  for (let n = from; n < from + count; n++) await lane.append('event', record(n));
  await lane.close();
}

describe('the format', () => {
  it('is a chain that Python and sha256sum compute alike, over several files, starts and languages', async () => {
    const directory = ownFolder();
    let lane = await open(directory, { segmentBytes: 2000 });
    for (const text of ['ascii', 'é', '서비스', '😀', '\u2028', '\ud800']) await lane.append('event', record(1, text));
    await Promise.all(Array.from({ length: 40 }, (_, n) => lane.append(n % 3 === 0 ? 'intent' : 'event', record(n))));
    await lane.close();
    lane = await open(directory, { segmentBytes: 2000 });
    for (let n = 0; n < 20; n++) await lane.append('event', record(n));
    expect(lane.state()).toEqual({ writable: true, lastSeq: 66, refused: 0 });
    await lane.close();

    const folder = join(directory, 'lane-0');
    const paths = files(directory);
    expect(paths.length).toBeGreaterThan(3);
    const [seq, last] = python(folder).split(' ');
    expect(seq).toBe('66');
    const final = readFileSync(paths.at(-1)!, 'utf8').split('\n').at(-2)!;
    const sum = execFileSync('sha256sum', { input: `${final}\n`, encoding: 'utf8' }).split(' ')[0];
    expect(sum).toBe(last);
    for (const path of paths) {
      expect(statSync(path).mode & 0o777).toBe(0o600);
      const first = JSON.parse(readFileSync(path, 'utf8').split('\n')[0]!) as { seq: number };
      expect(path.endsWith(`/${String(first.seq).padStart(12, '0')}.jsonl`)).toBe(true);
    }
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(await verified(directory)).toEqual({ records: 66 });
  });

  it('keeps the lanes apart', async () => {
    const directory = ownFolder();
    const [a, b] = [await open(directory), await open(directory, { lane: 1 })];
    await Promise.all([a.append('event', record(1)), b.append('event', record(2))]);
    expect(lines(directory, 0).map(({ lane, seq }) => [lane, seq])).toEqual([[0, 1]]);
    expect(lines(directory, 1).map(({ lane, seq }) => [lane, seq])).toEqual([[1, 1]]);
  });

  it('refuses records that would break it', async () => {
    const directory = ownFolder();
    const lane = await open(directory);
    await expect(lane.append('event', '{"a":\n1}')).rejects.toMatchObject({ code: 'KMSInternalException' });
    await expect(lane.append('event', JSON.stringify({ a: 'é'.repeat(65_536) }))).rejects.toMatchObject({
      code: 'KMSInternalException',
    });
    await lane.append('event', JSON.stringify({ a: 'x'.repeat(131_072 - 8) }));
    expect(lines(directory)[0]!.seq).toBe(1);
  });
});

describe('calls of nobody', () => {
  it('are all in the log after a close, written or counted', async () => {
    const directory = ownFolder();
    const lane = await open(directory, { clock: { now: () => 0 } });
    for (let n = 0; n < 30; n++) await lane.appendUnauthenticated('192.0.2.1', 'A', record(n));
    await lane.close();
    const [counted, ...rest] = lines(directory).slice(20);
    expect(rest).toEqual([]);
    expect(counted!.record).toMatchObject({
      eventName: 'UnauthenticatedRequests',
      serviceEventDetails: { total: 10, counts: [{ sourceIPAddress: '192.0.2.1', errorCode: 'A', count: 10 }] },
    });
  });
});

describe('recovery', () => {
  it('cuts a last line torn at any byte, and nothing else', async () => {
    const directory = ownFolder();
    await fill(directory, 3);
    const path = files(directory)[0]!;
    const whole = readFileSync(path);
    const lastStart = whole.lastIndexOf(10, whole.length - 2) + 1;
    for (let end = lastStart; end <= whole.length; end++) {
      // As a crash leaves it: no mark of a close.
      const crashed = ownFolder();
      mkdirSync(join(crashed, 'lane-0'));
      writeFileSync(join(crashed, 'lane-0', '000000000001.jsonl'), whole.subarray(0, end));
      const lane = await open(crashed);
      expect(lane.state().lastSeq).toBe(end === whole.length ? 3 : 2);
      await lane.append('event', record(9));
      await lane.close();
      expect(lines(crashed).map((line) => line.record.n)).toEqual(end === whole.length ? [0, 1, 2, 9] : [0, 1, 9]);
      expect(await verified(crashed)).toEqual({ records: end === whole.length ? 4 : 3 });
      rmSync(crashed, { recursive: true });
    }
  });

  it('goes on after a file that never got its first line', async () => {
    for (const rest of ['', '{"lane":0,"seq":4,"pr', '\0'.repeat(5000)]) {
      const directory = ownFolder();
      await fill(directory, 3);
      writeFileSync(join(directory, 'lane-0', '000000000004.jsonl'), rest);
      await fill(directory, 2, 3);
      expect(await verified(directory)).toEqual({ records: 5 });
    }
  });

  it.each<[string, (path: string, directory: string) => void]>([
    [
      'a changed byte in the middle',
      (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('"n":1', '"n":7')),
    ],
    [
      'a line taken out',
      (path) => writeFileSync(path, readFileSync(path, 'utf8').split('\n').toSpliced(1, 1).join('\n')),
    ],
    ['a foreign line at the end', (path) => appendFileSync(path, 'not a record\n')],
    ['the last record cut off after a close', (path) => truncateSync(path, readFileSync(path).lastIndexOf(10, -2) + 1)],
    [
      'the last record changed after a close',
      (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('"n":2', '"n":7')),
    ],
    ['all files gone after a close', (path) => rmSync(path)],
    ['a gap between files', (path, directory) => copyFileSync(path, join(directory, 'lane-0', '000000000009.jsonl'))],
  ])('refuses %s, and leaves the files alone', async (_, damage) => {
    const directory = ownFolder();
    await fill(directory, 3);
    const path = files(directory)[0]!;
    damage(path, directory);
    const before = files(directory).map((file) => readFileSync(file, 'latin1'));
    const failed = await open(directory).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(AuditDamagedError);
    expect((failed as Error).message).toMatch(/^The audit log of lane 0 is damaged: [^\n]+$/);
    expect(files(directory).map((file) => readFileSync(file, 'latin1'))).toEqual(before);
    expect((await verified(directory)).damage).toBeDefined();
  });

  it('checks a file against the one before it', async () => {
    const directory = ownFolder();
    await fill(directory, 12, 0, 500);
    const paths = files(directory);
    const [before, last] = [paths.at(-2)!, paths.at(-1)!];
    expect(readFileSync(last, 'utf8').length).toBeGreaterThan(0);
    const text = readFileSync(before, 'utf8');
    writeFileSync(before, `${text.slice(0, text.lastIndexOf('"n":'))}"n":999,"extra":""}}\n`);
    await expect(open(directory)).rejects.toThrow(AuditDamagedError);
  });

  it('tells about intents without their event, until it is appended', async () => {
    const directory = ownFolder();
    const crashed = await open(directory, { segmentBytes: 600 });
    const intent = record(1);
    await crashed.append('intent', record(0));
    await crashed.append('intent', intent);
    await crashed.append('event', record(0));
    for (let n = 10; n < 30; n++) await crashed.append('event', record(n));
    expect(crashed.unfinishedIntents()).toEqual([]);
    await crashed.close();

    let lane = await open(directory);
    expect(lane.unfinishedIntents()).toEqual([intent]);
    await lane.close();
    lane = await open(directory);
    expect(lane.unfinishedIntents()).toEqual([intent]);
    await lane.append('event', record(1));
    expect(lane.unfinishedIntents()).toEqual([]);
    await lane.close();
    lane = await open(directory);
    expect(lane.unfinishedIntents()).toEqual([]);
    const marks = readdirSync(join(directory, 'lane-0')).filter((name) => name.startsWith('closed-'));
    expect(marks).toEqual(['closed-000000000024']);
  });
});

describe('the lock', () => {
  it('lets one writer in', async () => {
    const directory = ownFolder();
    const lane = await open(directory);
    const second = await open(directory, { lockWaitMs: 120 }).catch((error: unknown) => error);
    expect(second).toBeInstanceOf(AuditInUseError);
    expect((second as Error).message).toBe(`The audit log of lane 0 is in use by process ${process.pid}.`);
    const waiting = open(directory);
    await lane.close();
    await (await waiting).append('event', record(1));
  });

  it('lets one of many in when its owner is gone', async () => {
    const directory = ownFolder();
    await fill(directory, 1);
    const folder = join(directory, 'lane-0');
    for (const name of readdirSync(folder).filter((entry) => entry.startsWith('lock-'))) rmSync(join(folder, name));
    // This process's id with another's start time: the id was used again.
    symlinkSync(`${process.pid}.1.0`, join(folder, 'lock-000000000007'));
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => open(directory, { lockWaitMs: 100 })));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

describe('verifyLane', () => {
  it('finds each flipped byte of each file', async () => {
    const directory = ownFolder();
    await fill(directory, 5, 0, 700);
    expect(files(directory).length).toBeGreaterThan(1);
    expect(await verified(directory)).toEqual({ records: 5 });
    for (const path of files(directory)) {
      const bytes = readFileSync(path);
      for (let at = 0; at < bytes.length; at++) {
        const flipped = Buffer.from(bytes);
        flipped[at]! ^= 1 << (at % 8);
        writeFileSync(path, flipped);
        const { damage } = await verified(directory);
        expect(damage, `${path} byte ${at}`).toBeDefined();
      }
      writeFileSync(path, bytes);
    }
    expect(await verified(directory)).toEqual({ records: 5 });
  });

  it('says where, and what', async () => {
    const directory = ownFolder();
    await fill(directory, 5);
    const path = files(directory)[0]!;
    const rows = readFileSync(path, 'utf8').split('\n');
    writeFileSync(path, [...rows.slice(0, 2), rows[2]!.replace('"n":2', '"n":3'), ...rows.slice(3)].join('\n'));
    expect(await verified(directory)).toEqual({
      records: 3,
      damage: { file: '000000000001.jsonl', line: 4, reason: 'its prev is not the hash of the line before' },
    });
  });

  it('verifies what is left when old files were taken away', async () => {
    const directory = ownFolder();
    await fill(directory, 12, 0, 700);
    rmSync(files(directory)[0]!);
    const { records, damage } = await verified(directory);
    expect(damage).toBeUndefined();
    expect(records).toBe(lines(directory).length);
    await fill(directory, 1, 12);
    expect(dirname(files(directory)[0]!)).toBe(join(directory, 'lane-0'));
  });
});
