// A flood of unauthenticated requests: a few records a second and an hour, everything else counted, in bounded memory, and no count lost.
import { systemTimers } from '../../../src/kernel/timers.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UnauthenticatedLimiter } from '../../../src/audit/unauthenticated-limiter.js';
import { serviceEvents } from '../../../src/audit/service-event.js';
import { systemRandom } from '../../../src/kernel/random.js';
import { mostRecordBytes } from '../../../src/model/audit-record.js';

interface Details {
  total: number;
  others: number;
  firstTime: string;
  lastTime: string;
  counts: { sourceIPAddress: string; errorCode: string; count: number }[];
}

let nowMs: number;
let single: string[];
let own: string[];
let broken: boolean;
let limiter: UnauthenticatedLimiter;

beforeEach(() => {
  vi.useFakeTimers();
  nowMs = Date.UTC(2026, 10, 25, 12, 0, 0);
  [single, own, broken] = [[], [], false];
  const clock = { now: () => nowMs };
  limiter = new UnauthenticatedLimiter({
    append: async (record) => void single.push(record),
    appendOwn: async (record) => {
      if (broken) throw new Error('broken');
      own.push(record);
    },
    event: serviceEvents(clock, systemRandom, 'us-west-2'),
    clock,
    timers: systemTimers,
  });
});
afterEach(() => vi.useRealTimers());

const details = (): Details[] =>
  own.map((record) => {
    const event = JSON.parse(record) as { eventName: string; eventType: string; serviceEventDetails: Details };
    expect(event).toMatchObject({ eventName: 'UnauthenticatedRequests', eventType: 'AwsServiceEvent' });
    return event.serviceEventDetails;
  });

describe('a flood', () => {
  it('gets 20 records a second, and one that counts the rest', async () => {
    for (let n = 0; n < 100; n++) await limiter.append('192.0.2.1', 'InvalidSignatureException', `record ${n}`);
    expect(single).toEqual(Array.from({ length: 20 }, (_, n) => `record ${n}`));
    await vi.advanceTimersByTimeAsync(1000);
    nowMs += 1000;
    await limiter.append('192.0.2.1', 'InvalidSignatureException', 'next second');
    expect(single.at(-1)).toBe('next second');
    expect(details()).toEqual([
      {
        firstTime: '2026-11-25T12:00:00.000Z',
        lastTime: '2026-11-25T12:00:00.000Z',
        total: 80,
        counts: [{ sourceIPAddress: '192.0.2.1', errorCode: 'InvalidSignatureException', count: 80 }],
        others: 0,
      },
    ]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(own).toHaveLength(1);
  });

  it('tells 256 pairs apart, whatever they look like, and fits in a record', async () => {
    const long = '\u0001'.repeat(10_000);
    for (let n = 0; n < 10_020; n++) await limiter.append(`${n}${long}`, `E${n}${long}`, '{}');
    await vi.advanceTimersByTimeAsync(1000);
    expect(own).toHaveLength(1);
    expect(Buffer.byteLength(own[0]!)).toBeLessThanOrEqual(mostRecordBytes);
  });

  it('lumps the pairs beyond 256', async () => {
    for (let n = 0; n < 1020; n++) await limiter.append(`192.0.2.${n}`, 'InvalidSignatureException', '{}');
    await limiter.flush();
    const [tally] = details();
    expect(tally!.counts).toHaveLength(256);
    expect([tally!.total, tally!.others]).toEqual([1000, 744]);
  });

  it('gets 1000 records an hour, and a count a minute beyond them', async () => {
    const second = async (requests: number): Promise<void> => {
      for (let n = 0; n < requests; n++) await limiter.append('192.0.2.1', 'A', '{}');
      nowMs += 1000;
      await vi.advanceTimersByTimeAsync(1000);
    };
    for (let n = 0; n < 100; n++) await second(10);
    expect([single.length, own.length]).toEqual([1000, 0]);
    for (let n = 0; n < 120; n++) await second(5);
    expect(single).toHaveLength(1000);
    expect(details().map(({ total }) => total)).toEqual([300, 300]);

    nowMs = Date.UTC(2026, 10, 25, 13, 0, 0);
    await second(21);
    expect(single).toHaveLength(1020);
    expect(details().map(({ total }) => total)).toEqual([300, 300, 1]);
  });

  it('writes a day of the worst flood in less than 200 MB', async () => {
    const record = 'x'.repeat(2800);
    const sources = Array.from({ length: 300 }, (_, n) => `2001:db8:aaaa:bbbb:cccc:dddd:eeee:${4096 + n}`);
    for (let n = 0; n < 3600; n++) {
      for (const source of sources) await limiter.append(source, 'IncompleteSignatureException', record);
      nowMs += 1000;
      await vi.advanceTimersByTimeAsync(1000);
    }
    await limiter.flush();
    const bytes = [...single, ...own].reduce((sum, record) => sum + Buffer.byteLength(record), 0);
    expect(bytes * 24).toBeLessThan(200e6);
    const counted = details().reduce((sum, { total }) => sum + total, 0);
    expect(single.length + counted).toBe(3600 * 300);
  });

  it('loses no count when the log cannot be written', async () => {
    for (let n = 0; n < 50; n++) await limiter.append('192.0.2.1', 'A', '{}');
    broken = true;
    await vi.advanceTimersByTimeAsync(5000);
    for (let n = 0; n < 30; n++) await limiter.append(n < 10 ? '192.0.2.1' : '192.0.2.2', 'A', '{}');
    broken = false;
    await vi.advanceTimersByTimeAsync(1000);
    expect(details().map(({ total, counts }) => [total, counts.map(({ count }) => count)])).toEqual([[60, [40, 20]]]);
    expect(single).toHaveLength(20);
  });
});
