// A flood of unauthenticated requests: a few records a second, everything else counted, in bounded memory, and no count lost.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Flood } from '../../../src/audit/flood.js';
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
let flood: Flood;

beforeEach(() => {
  vi.useFakeTimers();
  nowMs = Date.UTC(2026, 10, 25, 12, 0, 0);
  [single, own, broken] = [[], [], false];
  const clock = { now: () => nowMs };
  flood = new Flood({
    append: async (record) => void single.push(record),
    appendOwn: async (record) => {
      if (broken) throw new Error('broken');
      own.push(record);
    },
    event: serviceEvents(clock, systemRandom, 'us-west-2'),
    clock,
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
    for (let n = 0; n < 100; n++) await flood.append('192.0.2.1', 'InvalidSignatureException', `record ${n}`);
    expect(single).toEqual(Array.from({ length: 20 }, (_, n) => `record ${n}`));
    await vi.advanceTimersByTimeAsync(1000);
    nowMs += 1000;
    await flood.append('192.0.2.1', 'InvalidSignatureException', 'next second');
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
    for (let n = 0; n < 10_020; n++) await flood.append(`${n}${long}`, `E${n}${long}`, '{}');
    await vi.advanceTimersByTimeAsync(1000);
    expect(own).toHaveLength(1);
    expect(Buffer.byteLength(own[0]!)).toBeLessThanOrEqual(mostRecordBytes);
  });

  it('lumps the pairs beyond 256', async () => {
    for (let n = 0; n < 1020; n++) await flood.append(`192.0.2.${n}`, 'ExpiredTokenException', '{}');
    await flood.flush();
    const [tally] = details();
    expect(tally!.counts).toHaveLength(256);
    expect([tally!.total, tally!.others]).toEqual([1000, 744]);
  });

  it('loses no count when the log cannot be written', async () => {
    for (let n = 0; n < 50; n++) await flood.append('192.0.2.1', 'A', '{}');
    broken = true;
    await vi.advanceTimersByTimeAsync(5000);
    for (let n = 0; n < 30; n++) await flood.append(n < 10 ? '192.0.2.1' : '192.0.2.2', 'A', '{}');
    broken = false;
    await vi.advanceTimersByTimeAsync(1000);
    expect(details().map(({ total, counts }) => [total, counts.map(({ count }) => count)])).toEqual([[60, [40, 20]]]);
    expect(single).toHaveLength(20);
  });
});
