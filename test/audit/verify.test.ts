// What `hsm-bridge audit verify` says of a lane of several files: each kind of damage with its file and line, nothing of a log that holds.
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Verdict, verifyAuditLog } from '../../src/cli/audit-verify.js';
import { type HandmadeLane, handmadeRecord, makeLane } from '../support/handmade-lane.js';
import { ownFolder } from './lane-fixture.js';

interface LaneReport {
  readonly lane: number;
  readonly state: Verdict;
  readonly files: number;
  readonly records: number;
  readonly damage: { readonly file: string | null; readonly line: number; readonly reason: string } | null;
  readonly notes: readonly string[];
  readonly [name: string]: unknown;
}

interface Report {
  readonly verdict: Verdict;
  readonly lanes: readonly LaneReport[];
  readonly notes: readonly string[];
  readonly error?: string;
}

async function verify(home: string): Promise<Report> {
  let text = '';
  const stderr = { write: () => true };
  const verdict = await verifyAuditLog({ home, json: true, print: (line) => (text += line), stderr });
  const report = JSON.parse(text) as Report;
  expect(report.verdict).toBe(verdict);
  return report;
}

async function read(home: string): Promise<string> {
  let text = '';
  await verifyAuditLog({ home, json: false, print: (line) => (text += `${line}\n`), stderr: { write: () => true } });
  return text;
}

const rows = (path: string): string[] => readFileSync(path, 'utf8').split('\n');
const change = (path: string, edit: (lines: string[]) => string[]): void =>
  writeFileSync(path, edit(rows(path)).join('\n'));

describe('a log that holds', () => {
  it('is told with its files, records, times, last record and open intents', async () => {
    const home = ownFolder();
    const { lastHash, paths } = makeLane(home, { kind: (seq) => (seq === 5 || seq === 7 ? 'intent' : 'event') });
    const bytes = paths.reduce((sum, path) => sum + statSync(path).size, 0);
    expect(await verify(home)).toEqual({
      version: 1,
      verdict: 'sound',
      lanes: [
        {
          lane: 0,
          state: 'sound',
          files: 3,
          bytes,
          records: 9,
          firstSeq: 1,
          lastSeq: 9,
          lastHash,
          firstTime: '2026-11-27T10:00:01Z',
          lastTime: '2026-11-27T10:00:09Z',
          openIntents: 2,
          unfinishedBytes: 0,
          damage: null,
          notes: [],
          strays: 0,
        },
      ],
      notes: [],
    });
    expect(await read(home)).toMatch(
      /^lane 0: sound: 3 files, 9 records that hold, 2026-11-27T10:00:01Z to 2026-11-27T10:00:09Z\n {2}last {4}record 9, SHA-256 [0-9a-f]{64}\n {2}open {4}2 intents .*\nthe audit log is sound\n/,
    );
  });

  it('may have lost its first files to an archive, and may end within a line', async () => {
    const home = ownFolder();
    const { paths } = makeLane(home);
    rmSync(paths[0]!);
    appendFileSync(paths[2]!, '{"lane":0,"seq":10,"pr');
    const { verdict, lanes } = await verify(home);
    expect(verdict).toBe('sound');
    expect(lanes[0]).toMatchObject({ records: 6, firstSeq: 4, lastSeq: 9, unfinishedBytes: 22 });
    expect(lanes[0]!.notes).toEqual([
      'begins with record 4: earlier files were taken away',
      'ends with 22 bytes of an unfinished line: being written, or left by a crash',
    ]);
  });

  it('is told with progress on a terminal, and there alone', async () => {
    const home = ownFolder();
    makeLane(home);
    let shown = '';
    const stderr = { isTTY: true, write: (text: string) => (shown += text) };
    await verifyAuditLog({ home, json: false, print: () => undefined, stderr });
    expect(shown.replaceAll('\x1b[K', '|')).toMatch(/^\rlane 0: 000000000001\.jsonl, 0 of 0 MB \(\d+ %\)\|\r\|$/);
  });

  it('is read only', async () => {
    const home = ownFolder();
    const { folder, paths } = makeLane(home);
    const before = readdirSync(folder);
    for (const path of paths) chmodSync(path, 0o400);
    chmodSync(folder, 0o500);
    expect((await verify(home)).verdict).toBe('sound');
    expect(readdirSync(folder)).toEqual(before);
    chmodSync(folder, 0o700);
  });

  it('says what does not belong there, without what a terminal would obey', async () => {
    const home = ownFolder();
    const { folder } = makeLane(home);
    writeFileSync(join(folder, '\x1b[2Jcopy.jsonl'), '');
    writeFileSync(join(folder, '1.jsonl'), '');
    makeLane(home, { lane: 2 });
    symlinkSync('/', join(home, 'audit', 'lane-x'));
    const { verdict, lanes, notes } = await verify(home);
    expect(verdict).toBe('sound');
    expect(lanes[0]!.notes).toEqual([expect.stringMatching(/^what does not belong in its folder: /) as string]);
    expect(lanes[0]!.notes[0]!.split(': ')[1]!.split(', ').sort()).toEqual(['1.jsonl', '?[2Jcopy.jsonl']);
    expect(notes).toEqual(['lanes are missing: 1', 'what does not belong in the folder of the lanes: lane-x']);
  });
});

describe('damage', () => {
  const first = '000000000001.jsonl';
  const second = '000000000004.jsonl';
  const third = '000000000007.jsonl';
  type Damage = (lane: HandmadeLane) => void;
  it.each<[string, Damage, string | null, number, RegExp]>([
    [
      'an edited byte',
      ({ paths }) => change(paths[0]!, (lines) => lines.with(1, lines[1]!.replace('Encrypt', 'Decrypt'))),
      first,
      3,
      /prev is not the hash/,
    ],
    [
      'an edited last line of a file',
      ({ paths }) => change(paths[0]!, (lines) => lines.with(2, lines[2]!.replace('Encrypt', 'Decrypt'))),
      second,
      1,
      /prev is not the hash/,
    ],
    [
      'an edited last line of all',
      ({ paths }) => change(paths[2]!, (lines) => lines.with(2, lines[2]!.replace('Encrypt', 'Decrypt'))),
      third,
      3,
      /changed since the lane was closed/,
    ],
    [
      'a dropped line',
      ({ paths }) => change(paths[1]!, (lines) => lines.toSpliced(1, 1)),
      second,
      2,
      /record 6 where record 5/,
    ],
    [
      'a dropped last line of a file',
      ({ paths }) => change(paths[0]!, (lines) => lines.toSpliced(2, 1)),
      second,
      1,
      /record 3 is missing before it/,
    ],
    [
      'swapped lines',
      ({ paths }) => change(paths[0]!, ([a, b, c]) => [b!, a!, c!, '']),
      first,
      1,
      /record 2 where record 1/,
    ],
    [
      'a file under a later name too',
      ({ paths, folder }) => copyFileSync(paths[0]!, join(folder, '000000000010.jsonl')),
      '000000000010.jsonl',
      1,
      /record 1 where record 10/,
    ],
    [
      'a file under a name between',
      ({ paths, folder }) => copyFileSync(paths[0]!, join(folder, '000000000002.jsonl')),
      '000000000002.jsonl',
      1,
      /should begin with record 4/,
    ],
    ['a missing middle file', ({ paths }) => rmSync(paths[1]!), third, 1, /records 4 to 6 are missing before it/],
    ['a missing last file', ({ paths }) => rmSync(paths[2]!), second, 4, /records up to 9 are missing/],
    ['no file left', ({ paths }) => paths.forEach((path) => rmSync(path)), null, 1, /records up to 9 are missing/],
    [
      'only a file that has no line yet',
      ({ folder, paths }) => {
        for (const path of paths) rmSync(path);
        writeFileSync(join(folder, '000000000010.jsonl'), '{"lane"');
      },
      '000000000010.jsonl',
      1,
      /records up to 9 are missing/,
    ],
    [
      'nothing at all',
      ({ folder }) => readdirSync(folder).forEach((name) => rmSync(join(folder, name))),
      null,
      1,
      /empty/,
    ],
    [
      'a file cut within a line',
      ({ paths }) => truncateSync(paths[1]!, statSync(paths[1]!).size - 5),
      second,
      3,
      /ends within a line/,
    ],
    [
      'an end cut between lines',
      ({ paths }) => change(paths[2]!, (lines) => lines.slice(0, 1).concat('')),
      third,
      2,
      /records up to 9/,
    ],
    ['a file emptied', ({ paths }) => truncateSync(paths[1]!), third, 1, /records 4 to 6 are missing/],
    ['a record that is not JSON', (lane) => rechain(lane, '{"a":}'), second, 2, /not JSON/],
    ['a record that is not UTF-8', (lane) => rechain(lane, '{"a":"\xff"}'), second, 2, /not JSON/],
    ['an empty line', ({ paths }) => change(paths[1]!, (lines) => ['', ...lines]), second, 1, /not a line/],
    [
      'carriage returns',
      ({ paths }) => change(paths[1]!, (lines) => lines.map((line) => (line === '' ? '' : `${line}\r`))),
      second,
      1,
      /not a line/,
    ],
    [
      'a mark that is none',
      ({ folder }) => writeFileSync(join(folder, 'closed-000000000012'), ''),
      'closed-000000000012',
      1,
      /not the mark/,
    ],
  ])('is found: %s', async (_, damage, file, line, reason) => {
    const home = ownFolder();
    damage(makeLane(home));
    // A lane after the damaged one is looked at all the same.
    makeLane(home, { lane: 1 });
    const { verdict, lanes } = await verify(home);
    expect(verdict).toBe('damaged');
    expect(lanes.map(({ state }) => state)).toEqual(['damaged', 'sound']);
    expect(lanes[0]!.damage).toEqual({ file, line, reason: expect.stringMatching(reason) as string });
    if (file !== null) expect(await read(home)).toContain(`  DAMAGE  ${file} line ${line}: `);
  });

  it("is another lane's file", async () => {
    const home = ownFolder();
    const [own, other] = [makeLane(home), makeLane(home, { lane: 1 })];
    renameSync(other.paths[1]!, own.paths[1]!);
    const { lanes } = await verify(home);
    expect(lanes[0]!.damage).toEqual({ file: second, line: 1, reason: 'lane 1 instead of 0' });
    expect(lanes[1]!.damage).toMatchObject({ file: third, line: 1 });
  });

  it('does not show when everything after it was written anew, but for the mark of the close', async () => {
    const edited = (seq: number): string => handmadeRecord(seq).replace('Encrypt', seq < 5 ? 'Encrypt' : 'Decrypt');
    const [marked, unmarked] = [ownFolder(), ownFolder()];
    const { folder } = makeLane(marked);
    rmSync(join(folder, '000000000007.jsonl'));
    makeLane(unmarked, { record: edited, closed: false });
    for (const name of [second, third]) copyFileSync(join(unmarked, 'audit/lane-0', name), join(folder, name));
    expect((await verify(unmarked)).verdict).toBe('sound');
    expect((await verify(marked)).lanes[0]!.damage).toMatchObject({ file: third, line: 3 });
  });
});

/** Replaces record 5 and makes all hashes after it fit, the mark's not: it is taken away. */
function rechain({ folder, paths }: HandmadeLane, record: string): void {
  rmSync(join(folder, 'closed-000000000009'));
  let prev = '0'.repeat(64);
  for (const path of paths) {
    const lines = rows(path)
      .slice(0, -1)
      .map((line) => {
        const [, seq] = /"seq":(\d+)/.exec(line)!;
        let changed = line.replace(/"prev":"[0-9a-f]+"/, `"prev":"${prev}"`);
        if (seq === '5') changed = changed.replace(/"record":.*$/, `"record":${record}}`);
        const bytes = Buffer.from(`${changed}\n`, 'latin1');
        prev = createHash('sha256').update(bytes).digest('hex');
        return bytes;
      });
    writeFileSync(path, Buffer.concat(lines));
  }
}
