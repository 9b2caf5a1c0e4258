// The pauses between restarts: doubling from 100 ms to 30 s, jittered downwards by half at most, forgotten after a minute of health.
import { describe, expect, it } from 'vitest';
import { createBackoff } from '../../../src/process/backoff.js';

const doubling = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000];

describe('back-off', () => {
  it('doubles up to its ceiling', () => {
    const longest = createBackoff(() => 1);
    expect(doubling.map(() => longest.next(0))).toEqual(doubling);
    const shortest = createBackoff(() => 0);
    expect(doubling.map(() => shortest.next(0))).toEqual(doubling.map((ms) => ms / 2));
  });

  it('forgets failures after 60 s of health, not before', () => {
    const backoff = createBackoff(() => 1);
    backoff.next(0);
    backoff.next(0);
    expect(backoff.next(59_999)).toBe(400);
    expect(backoff.next(60_000)).toBe(100);
    expect(backoff.next(0)).toBe(200);
  });
});
