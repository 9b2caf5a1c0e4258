// Jobs: one holder at a time, never two runs at once, and an end that waits for the current run. Time is vitest's.
import { systemTimers } from '../../../src/kernel/timers.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runJob } from '../../../src/process/jobs.js';
import type { Log } from '../../../src/process/log.js';

const logged: string[] = [];
const log: Log = {
  error: (message) => void logged.push(message),
  warn: (message) => void logged.push(message),
  info: () => undefined,
  debug: () => undefined,
};
const clock = { monotonicMs: () => performance.now() };
const lease = { name: 'deletion', holder: 'a', token: 1 };
const always = { take: () => Promise.resolve(lease) };
const settings = { name: 'deletion', everyMs: 1_000, leases: always, holder: 'a', clock, timers: systemTimers, log };

beforeEach(() => {
  vi.useFakeTimers();
  logged.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a job', () => {
  it('runs now and then from start to start', async () => {
    const starts: number[] = [];
    const began = Date.now();
    const job = runJob({
      ...settings,
      run: async () => {
        starts.push(Date.now() - began);
        await new Promise((resolve) => setTimeout(resolve, 300));
      },
    });
    await vi.advanceTimersByTimeAsync(2_500);
    await job.stop();
    expect(starts).toEqual([0, 1_000, 2_000]);
  });

  it('never overlaps itself', async () => {
    let running = 0;
    let most = 0;
    let runs = 0;
    const job = runJob({
      ...settings,
      run: async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 2_500));
        running -= 1;
        runs += 1;
      },
    });
    await vi.advanceTimersByTimeAsync(10_000);
    expect({ most, runs }).toEqual({ most: 1, runs: 3 });
    const stopped = job.stop();
    await vi.advanceTimersByTimeAsync(2_500);
    await stopped;
    expect(running).toBe(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(runs).toBe(4);
  });

  it('runs only while it has the lease, and renews it', async () => {
    const takes: [string, string, number][] = [];
    let free = false;
    const leases = {
      take: (name: string, holder: string, ttlMs: number) => {
        takes.push([name, holder, ttlMs]);
        return Promise.resolve(free ? lease : undefined);
      },
    };
    let runs = 0;
    const job = runJob({
      ...settings,
      leases,
      run: async () => {
        runs += 1;
        await new Promise((resolve) => setTimeout(resolve, 9_000));
      },
    });
    await vi.advanceTimersByTimeAsync(1_500);
    expect(runs).toBe(0);
    free = true;
    takes.length = 0;
    await vi.advanceTimersByTimeAsync(9_000);
    expect(runs).toBe(1);
    // Taken once for the run, and at least twice while it lasts.
    expect(takes.length).toBeGreaterThanOrEqual(3);
    expect(new Set(takes.map(String))).toEqual(new Set(['deletion,a,10000']));
    const stopped = job.stop();
    await vi.advanceTimersByTimeAsync(10_000);
    await stopped;
  });

  it('outlives its failures', async () => {
    let runs = 0;
    const job = runJob({
      ...settings,
      run: () => {
        runs += 1;
        return Promise.reject(new Error('the disk is full'));
      },
    });
    await vi.advanceTimersByTimeAsync(2_500);
    await job.stop();
    expect(runs).toBe(3);
    expect(logged).toEqual(Array.from({ length: 3 }, () => 'job deletion failed: the disk is full'));
  });
});
