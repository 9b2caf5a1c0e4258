// A flood of throttled calls: a record a second for each account, the rest counted for each apart, and no count lost.
import { systemTimers } from '../../../src/kernel/timers.js';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { serviceEvents } from '../../../src/audit/service-event.js';
import { ThrottledLimiter } from '../../../src/audit/throttled-limiter.js';
import { systemRandom } from '../../../src/kernel/random.js';

let nowMs: number;
let single: string[];
let own: string[];
let limiter: ThrottledLimiter;

beforeEach(() => {
  vi.useFakeTimers();
  nowMs = Date.UTC(2026, 10, 25, 12, 0, 0);
  [single, own] = [[], []];
  const clock = { now: () => nowMs };
  limiter = new ThrottledLimiter({
    append: async (record) => void single.push(record),
    appendOwn: async (record) => void own.push(record),
    event: serviceEvents(clock, systemRandom, 'us-west-2'),
    clock,
    timers: systemTimers,
  });
});
afterEach(() => vi.useRealTimers());

const counted = () =>
  own.map((record) => {
    const event = JSON.parse(record) as { eventName: string; serviceEventDetails: Record<string, unknown> };
    expect(event.eventName).toBe('ThrottledRequests');
    return event.serviceEventDetails;
  });

it('writes the first of each account and second, and counts the rest by account, address and budget', async () => {
  for (let n = 0; n < 10; n += 1) {
    await limiter.append('111111111111', '192.0.2.1', n < 8 ? 'requestRate' : 'auditBytes', `a${n}`);
    await limiter.append('222222222222', '192.0.2.2', 'requestRate', `b${n}`);
  }
  expect(single).toEqual(['a0', 'b0']);
  nowMs += 1000;
  await vi.advanceTimersByTimeAsync(1000);
  const time = '2026-11-25T12:00:00.000Z';
  expect(counted()).toEqual([
    {
      accountId: '111111111111',
      firstTime: time,
      lastTime: time,
      total: 9,
      counts: [
        { sourceIPAddress: '192.0.2.1', reason: 'requestRate', count: 7 },
        { sourceIPAddress: '192.0.2.1', reason: 'auditBytes', count: 2 },
      ],
      others: 0,
    },
    {
      accountId: '222222222222',
      firstTime: time,
      lastTime: time,
      total: 9,
      counts: [{ sourceIPAddress: '192.0.2.2', reason: 'requestRate', count: 9 }],
      others: 0,
    },
  ]);
});

it('keeps an account from filling the disk with refusals, however many addresses it has', async () => {
  const record = 'x'.repeat(3000);
  for (let second = 0; second < 3600; second += 1) {
    for (let n = 0; n < 100; n += 1) await limiter.append('111111111111', `192.0.2.${n}`, 'requestRate', record);
    nowMs += 1000;
    await vi.advanceTimersByTimeAsync(1000);
  }
  await limiter.flush();
  const bytes = [...single, ...own].reduce((sum, text) => sum + text.length, 0);
  expect(bytes).toBeLessThan(6e6);
  const total = counted().reduce((sum, details) => sum + Number(details['total']), 0);
  expect(single.length + total).toBe(360_000);
});
