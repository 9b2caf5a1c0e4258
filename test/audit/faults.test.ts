// The lane on a disk that fails: what was acknowledged is there, what was not is refused, and a failed fdatasync is never repeated.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { failure, faultyDisk } from './faulty-disk.js';
import { files, lines, open, ownFolder, record, until, verified } from './lane-fixture.js';

const refused = { code: 'KMSInternalException', publicMessage: 'The audit log cannot be written.' };

describe('commits', () => {
  it('resolve no caller before fdatasync returned for his record, and begin the next before answering', async () => {
    const disk = faultyDisk();
    const directory = ownFolder();
    const lane = await open(directory, { disk });
    let release = (): void => undefined;
    disk.fault = (call) => (call === 'datasync' ? new Promise((resolve) => (release = resolve)) : undefined);
    disk.journal.length = 0;
    const answered: string[] = [];
    const append = (name: string): Promise<void> =>
      lane.append('event', record(1, name)).then(() => {
        answered.push(name);
        disk.journal.push(`answered ${name}`);
      });
    const first = [append('a'), append('b')];
    await until(() => disk.journal.some((entry) => entry.startsWith('datasync')));
    const second = [append('c'), append('d'), append('e')];
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answered).toEqual([]);
    expect(readFileSync(files(directory)[0]!, 'utf8').split('\n')).toHaveLength(3);
    release();
    await Promise.all(first);
    expect(answered).toEqual(['a', 'b']);
    await until(() => disk.journal.filter((entry) => entry.startsWith('datasync')).length === 2);
    expect(answered).toEqual(['a', 'b']);
    release();
    await Promise.all(second);
    disk.fault = () => undefined;
    expect(disk.journal).toEqual([
      'create',
      'syncDirectory',
      ...['write:2', 'datasync:2', 'synced:2'],
      ...['write:2', 'answered a', 'answered b', 'datasync:2', 'synced:2'],
      ...['answered c', 'answered d', 'answered e'],
    ]);
  });

  it('survive writes that take a few bytes at a time', async () => {
    const disk = faultyDisk();
    disk.mostBytesPerWrite = 7;
    const directory = ownFolder();
    const lane = await open(directory, { disk });
    disk.mostBytesPerWrite = 3;
    await Promise.all(Array.from({ length: 20 }, (_, n) => lane.append('event', record(n, '서비스'))));
    await lane.close();
    expect(await verified(directory)).toEqual({ records: 20 });
  });

  it('push back when the queue is full, half of it early, and say so in the log', async () => {
    const disk = faultyDisk();
    const directory = ownFolder();
    const lane = await open(directory, { disk });
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    disk.fault = (call) => (call === 'datasync' ? held : undefined);
    const running = [lane.append('event', record(0))];
    await until(() => disk.journal.some((entry) => entry === 'datasync:2'));
    for (let n = 1; n <= 4096; n++) running.push(lane.append('event', record(n)));
    expect(() => lane.requireWritable()).toThrow(expect.objectContaining({ code: 'ThrottlingException' }));
    for (let n = 4097; n <= 8192; n++) running.push(lane.append('event', record(n)));
    await expect(lane.append('event', record(9999))).rejects.toMatchObject({ code: 'ThrottlingException' });
    release();
    await Promise.all(running);
    lane.requireWritable();
    await lane.close();
    const told = lines(directory).filter((line) => line.record.eventName === 'AuditRecordsRefused');
    expect(told.map((line) => line.record.serviceEventDetails)).toEqual([{ rejectedRecords: 1 }]);
    expect(await verified(directory)).toEqual({ records: 8194 });
  });
});

describe.each(['write', 'datasync'])('a failed %s', (failing) => {
  it('refuses all waiters, cuts back to the last durable record, and comes back by itself', async () => {
    const disk = faultyDisk();
    const directory = ownFolder();
    const lane = await open(directory, { disk, probeMs: 20 });
    await lane.append('event', record(1));
    let broken = true;
    let failedFile = 0;
    disk.fault = (call, file) => {
      if (!broken) return;
      if (call === failing || call === 'create') {
        if (file !== 0) failedFile = file;
        throw failure('EIO');
      }
    };
    disk.journal.length = 0;
    const waiting = await Promise.allSettled([2, 3, 4].map((n) => lane.append('event', record(n))));
    for (const { status, ...rest } of waiting) {
      expect(status).toBe('rejected');
      expect(rest).toMatchObject({ reason: refused });
    }
    expect(lane.state()).toEqual({ writable: false, lastSeq: 1, refused: 3, reason: 'EIO' });
    expect(() => lane.requireWritable()).toThrow(expect.objectContaining(refused));
    await expect(lane.append('event', record(5))).rejects.toMatchObject(refused);
    await expect(lane.appendUnauthenticated('192.0.2.1', 'X', record(6))).rejects.toMatchObject(refused);
    await until(() => disk.journal.filter((entry) => entry === 'create').length >= 3);
    expect(lines(directory).map((line) => line.record.n)).toEqual([1]);
    expect(lane.state().writable).toBe(false);
    broken = false;
    await until(() => lane.state().writable);
    await lane.append('event', record(7));
    await lane.close();

    // fsyncgate: once it failed, the kernel may call the lost pages clean.
    const uses = disk.journal.filter((entry) => entry.endsWith(`:${failedFile}`));
    expect(uses).toEqual(
      failing === 'write' ? [`write:${failedFile}`] : [`write:${failedFile}`, `datasync:${failedFile}`],
    );
    const resumed = lines(directory)[1]!;
    expect(resumed.kind).toBe('event');
    expect(resumed.record).toMatchObject({
      eventName: 'AuditResumed',
      eventType: 'AwsServiceEvent',
      serviceEventDetails: { reason: 'EIO', refusedCalls: 1, rejectedRecords: 5 },
    });
    expect(files(directory)).toHaveLength(2);
    expect(lines(directory).map((line) => line.record.n)).toEqual([1, undefined, 7]);
    expect(await verified(directory)).toEqual({ records: 3 });
  });

  it('writes AuditSuspended at once when only that file is broken', async () => {
    const disk = faultyDisk();
    const directory = ownFolder();
    const lane = await open(directory, { disk, probeMs: 20 });
    let failures = 0;
    disk.fault = (call) => {
      if (call === failing && failures++ === 0) throw failure('EIO');
    };
    await expect(lane.append('event', record(1))).rejects.toMatchObject(refused);
    await until(() => lane.state().writable);
    await lane.append('event', record(2));
    await lane.close();
    const names = lines(directory).map((line) => line.record.eventName);
    expect(names).toEqual(['AuditSuspended', 'AuditResumed', 'Encrypt']);
    expect(await verified(directory)).toEqual({ records: 3 });
  });
});

describe('when cutting back fails too', () => {
  it('acknowledges nothing until it succeeded', async () => {
    const disk = faultyDisk();
    const directory = ownFolder();
    const lane = await open(directory, { disk, probeMs: 10 });
    await lane.append('event', record(1));
    let broken = true;
    disk.fault = (call) => {
      if (broken && (call === 'datasync' || call === 'truncate')) throw failure('EIO');
    };
    disk.journal.length = 0;
    await expect(lane.append('event', record(2))).rejects.toMatchObject(refused);
    await until(() => disk.journal.filter((entry) => entry === 'truncate').length >= 3);
    expect(disk.journal).not.toContain('create');
    expect(lane.state()).toMatchObject({ writable: false, lastSeq: 1 });
    broken = false;
    await until(() => lane.state().writable);
    await lane.close();
    expect(lines(directory).map((line) => line.record.eventName)).toEqual(['Encrypt', 'AuditResumed']);
    expect(await verified(directory)).toEqual({ records: 2 });
  });
});

describe('a seeded run of faults', () => {
  it.each([1, 2, 3, 4, 5, 6])('keeps what it acknowledged, seed %i', async (seed) => {
    const disk = faultyDisk();
    const directory = ownFolder();
    let state = seed;
    const draw = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
    const acknowledged: number[] = [];
    for (let start = 0; start < 3; start++) {
      disk.fault = () => undefined;
      const lane = await open(directory, { disk, probeMs: 1, segmentBytes: 3000 });
      disk.fault = () => {
        if (draw() < 0.08) throw failure('EIO');
        disk.mostBytesPerWrite = draw() < 0.3 ? 1 + Math.floor(draw() * 2000) : Infinity;
      };
      for (let n = start * 1000; n < start * 1000 + 100; n++) {
        const round = Array.from({ length: 1 + Math.floor(draw() * 5) }, (_, k) => n * 10 + k);
        const results = await Promise.allSettled(round.map((id) => lane.append('event', record(id))));
        results.forEach(({ status }, k) => status === 'fulfilled' && acknowledged.push(round[k]!));
        if (!lane.state().writable) await until(() => lane.state().writable);
      }
      disk.fault = () => undefined;
      await lane.close();
    }
    const written = new Set(lines(directory).map((line) => line.record.n));
    expect(acknowledged.length).toBeGreaterThan(300);
    expect(acknowledged.filter((n) => !written.has(n))).toEqual([]);
    expect(await verified(directory)).toEqual({ records: lines(directory).length });
  });
});
