// A lane's folder as somebody hostile may leave it: what reads it waits for nothing, follows nothing, and holds little in memory.
import { execFileSync } from 'node:child_process';
import { appendFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type LaneVerdict, verifyLane } from '../../src/audit/verify.js';
import { type Disk, systemDisk } from '../../src/kernel/disk.js';
import { makeLane } from '../support/handmade-lane.js';
import { open, ownFolder } from './lane-fixture.js';

interface Watched {
  readonly disk: Disk;
  /** The most that was asked for at once, and all that came. */
  readonly seen: { largest: number; bytes: number };
}

function watched(afterRead: (path: string) => void = () => undefined): Watched {
  const seen = { largest: 0, bytes: 0 };
  const disk: Disk = {
    ...systemDisk,
    read: async (path, offset, length) => {
      seen.largest = Math.max(seen.largest, length);
      const bytes = await systemDisk.read(path, offset, length);
      seen.bytes += bytes.length;
      afterRead(path);
      return bytes;
    },
  };
  return { disk, seen };
}

const verify = (home: string, disk: Disk = systemDisk): Promise<LaneVerdict> =>
  verifyLane({ directory: join(home, 'audit'), lane: 0, disk, parse: true });

const mebibyte = 1024 * 1024;

describe('a file of a lane', () => {
  it.each<[string, (path: string) => void]>([
    ['a FIFO', (path) => execFileSync('mkfifo', [path])],
    ['a link to a sound file elsewhere', (path) => symlinkSync(`${path}.away`, path)],
    ['a link to nothing', (path) => symlinkSync('/nowhere', path)],
    ['a link to what never ends', (path) => symlinkSync('/dev/zero', path)],
    ['a folder', (path) => execFileSync('mkdir', [path])],
  ])('that is %s is damage, for the command and for a start', async (_, replace) => {
    const home = ownFolder();
    const { paths } = makeLane(home, { closed: false });
    for (const path of [paths[1]!, paths[2]!]) {
      renameSync(path, `${path}.away`);
      replace(path);
      const { damage } = await verify(home);
      expect(damage).toMatchObject({ line: 1, reason: 'it is a link or no regular file' });
      expect(path.endsWith(`/${damage!.file!}`)).toBe(true);
      if (path === paths[2]) await expect(open(join(home, 'audit'))).rejects.toThrow(/is damaged: .*no regular file/);
      rmSync(path, { recursive: true });
      renameSync(`${path}.away`, path);
    }
    expect((await verify(home)).damage).toBeUndefined();
  });

  it('that becomes a FIFO or a link after it was measured is not waited for, nor followed', async () => {
    for (const replace of [
      (path: string) => execFileSync('mkfifo', [path]),
      (path: string) => symlinkSync('/etc/passwd', path),
    ]) {
      const home = ownFolder();
      const { paths } = makeLane(home, { closed: false });
      let done = false;
      const { disk } = watched((path) => {
        if (done || path !== paths[0]) return;
        done = true;
        rmSync(paths[1]!);
        replace(paths[1]!);
      });
      expect((await verify(home, disk)).damage).toBeDefined();
    }
  });
});

describe('a folder', () => {
  it('that is a link is damage', async () => {
    const home = ownFolder();
    const { folder } = makeLane(home);
    renameSync(folder, join(home, 'elsewhere'));
    symlinkSync(join(home, 'elsewhere'), folder);
    expect((await verify(home)).damage).toMatchObject({ reason: 'a link stands in the place of its folder' });
  });

  it('of thousands of tiny files is read file by file', async () => {
    const home = ownFolder();
    makeLane(home, { files: 1000, linesPerFile: 1 });
    const { disk, seen } = watched();
    expect(await verify(home, disk)).toMatchObject({ files: 1000, records: 1000, damage: undefined });
    expect(seen.largest).toBeLessThan(mebibyte);
  });
});

describe('memory is bounded by a piece of a file', () => {
  it.each<[string, (path: string) => void, string | undefined]>([
    ['a line without an end', (path) => truncateSync(path, 300 * mebibyte), 'it does not end in lines'],
    [
      'a line of megabytes',
      (path) => appendFileSync(path, `${' '.repeat(3 * mebibyte)}\n`),
      'longer than any line of an audit log',
    ],
    [
      'a line a little too long',
      (path) => appendFileSync(path, `${' '.repeat(150_000)}\n`),
      'longer than any line of an audit log',
    ],
    ['a long tail, as a crash may leave it', (path) => appendFileSync(path, Buffer.alloc(15 * mebibyte)), undefined],
  ])('with %s', async (_, spoil, reason) => {
    const home = ownFolder();
    const { paths } = makeLane(home, { closed: false });
    spoil(paths[2]!);
    const { disk, seen } = watched();
    const { damage, unfinishedBytes } = await verify(home, disk);
    expect(damage).toEqual(reason === undefined ? undefined : { file: '000000000007.jsonl', line: 4, reason });
    if (reason === undefined) expect(unfinishedBytes).toBe(15 * mebibyte);
    expect(seen.largest).toBeLessThan(mebibyte);
    expect(seen.bytes).toBeLessThan(20 * mebibyte);
  });

  it('takes the longest line there may be, also in pieces that are smaller', async () => {
    const directory = ownFolder();
    const lane = await open(directory);
    for (let n = 0; n < 3; n++) await lane.append('event', JSON.stringify({ a: 'x'.repeat(131_072 - 8) }));
    await lane.close();
    for (const pieceBytes of [1000, 65_536, 262_144]) {
      expect(await verifyLane({ directory, lane: 0, pieceBytes })).toMatchObject({ records: 3, damage: undefined });
    }
  });

  it('ends also when a file grows as fast as it is read', async () => {
    const home = ownFolder();
    const { paths } = makeLane(home, { closed: false });
    const { disk } = watched((path) => appendFileSync(path, ' '.repeat(1000)));
    expect((await verify(home, disk)).records).toBe(9);
    expect((await verify(home)).damage).toMatchObject({ file: '000000000001.jsonl', line: 4 });
    expect(paths).toHaveLength(3);
  });
});

describe('files that go away meanwhile', () => {
  it('are no damage when they are the first ones: an archive took them', async () => {
    const home = ownFolder();
    const { paths } = makeLane(home, { files: 5 });
    const { disk } = watched((path) => {
      if (path === paths[0]) for (const old of paths.slice(0, 3)) rmSync(old, { force: true });
    });
    expect(await verify(home, disk)).toMatchObject({ firstSeq: 10, records: 6, damage: undefined });
  });

  it('are damage when one before them stays', async () => {
    const home = ownFolder();
    const { paths } = makeLane(home, { files: 5 });
    const { disk } = watched((path) => {
      if (path === paths[0]) rmSync(paths[2]!, { force: true });
    });
    expect((await verify(home, disk)).damage).toMatchObject({ file: '000000000007.jsonl', reason: 'the file is gone' });
  });

  it('are no damage when the last one was given up before its first line was whole', async () => {
    const home = ownFolder();
    const { folder, paths } = makeLane(home, { closed: false });
    const begun = join(folder, '000000000010.jsonl');
    writeFileSync(begun, '{"lane"');
    const { disk } = watched((path) => {
      if (path === paths[0]) rmSync(begun, { force: true });
    });
    expect(await verify(home, disk)).toMatchObject({ records: 9, damage: undefined });
  });
});
