// The cache, the look for changes and the turns of writers, step by step without a database.
import { beforeEach, describe, expect, it } from 'vitest';
import { BoundedMemory } from '../../../src/kernel/bounded-memory.js';
import { systemTimers } from '../../../src/kernel/timers.js';
import type { Backend, Changed } from '../../../src/store/backend.js';
import { ReadCache } from '../../../src/store/cache.js';
import { Turns } from '../../../src/store/turns.js';
import { ChangeWatch } from '../../../src/store/watch.js';

/** A read that ends when the test says so. */
function pendingRead<V>(): { read: () => Promise<V>; end: (value: V) => void } {
  let end: (value: V) => void = () => undefined;
  const promise = new Promise<V>((resolve) => (end = resolve));
  return { read: () => promise, end: (value) => end(value) };
}

describe('ReadCache', () => {
  it('keeps what was found and not what was absent or failed', async () => {
    const cache = new ReadCache<string>('rows', new BoundedMemory(1e6), () => 1);
    expect(await cache.load('a', () => Promise.resolve('A'))).toBe('A');
    expect(await cache.get('a')).toBe('A');
    expect(await cache.load('b', () => Promise.resolve(undefined))).toBeUndefined();
    expect(cache.get('b')).toBeUndefined();
    await expect(cache.load('c', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(cache.get('c')).toBeUndefined();
  });

  it('holds no more than its limit, the newest', async () => {
    const memory = new BoundedMemory(4_000);
    const cache = new ReadCache<number>('rows', memory, () => 700);
    for (let n = 0; n < 10; n++) await cache.load(String(n), () => Promise.resolve(n));
    expect(memory.bytes).toBeLessThanOrEqual(4_000);
    const held = Array.from({ length: 10 }, (_, n) => n).filter((n) => cache.get(String(n)) !== undefined);
    expect(held).toEqual([7, 8, 9]);
  });

  it.each(['drop', 'clear'] as const)(
    'reads again what was read across a %s, and does not serve it to later ones',
    async (how) => {
      const cache = new ReadCache<string>('rows', new BoundedMemory(1e6), () => 1);
      const stale = pendingRead<string>();
      const reads = [stale.read, () => Promise.resolve('new')];
      const early = cache.load('a', () => reads.shift()!());
      if (how === 'drop') cache.drop('a');
      else cache.clear();
      expect(cache.get('a')).toBeUndefined();
      const late = cache.load('a', () => Promise.resolve('newest'));
      stale.end('old');
      expect(await early).toBe('new');
      expect(await late).toBe('newest');
      expect(await cache.get('a')).toBe('newest');
    },
  );

  it('gives up on a row that changes under every read', async () => {
    const cache = new ReadCache<string>('rows', new BoundedMemory(1e6), () => 1);
    const restless = cache.load('a', () => {
      cache.drop('a');
      return Promise.resolve('never the same');
    });
    await expect(restless).rejects.toMatchObject({ code: 'KMSInternalException' });
  });
});

describe('ChangeWatch', () => {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
  const pollMs = 3_600_000;
  let changes = 0;
  beforeEach(() => {
    clock.nowMs = 0;
    changes = 0;
  });
  const watching = (shared: boolean, backend: Partial<Backend>) =>
    new ChangeWatch({
      backend: backend as Backend,
      clock,
      timers: systemTimers,
      pollMs,
      shared,
      onChange: () => changes++,
    });

  it('of a gateway alone looks when the timer is late, and not more often', () => {
    let looks = 0;
    const watch = watching(false, { changes: () => (++looks === 2 ? 'all' : []) });
    clock.nowMs = 2 * pollMs;
    void watch.look();
    expect([looks, changes]).toEqual([0, 0]);
    clock.nowMs += 1;
    void watch.look();
    void watch.look();
    expect([looks, changes]).toEqual([1, 0]);
    clock.nowMs *= 3;
    void watch.look();
    expect([looks, changes]).toEqual([2, 1]);
    watch.stop();
  });

  it('of a gateway among others looks closer whenever something may have changed', () => {
    const moves = [false, true, true, false];
    const elsewhere: Changed[] = [[], ['keys:a']];
    const watch = watching(true, {
      mayHaveChanged: () => moves.shift() === true,
      changes: () => elsewhere.shift() ?? 'all',
    });
    const seen = [1, 2, 3, 4].map(() => {
      void watch.look();
      return changes;
    });
    expect(seen).toEqual([0, 0, 1, 1]);
    expect(elsewhere).toEqual([]);
    watch.stop();
  });

  it('waits for a database that is not in this process, and for its failure', async () => {
    const answers = [Promise.resolve<Changed>([]), Promise.resolve<Changed>('all'), Promise.reject(new Error('away'))];
    const watch = watching(true, { mayHaveChanged: () => true, changes: () => answers.shift()! });
    const seen: number[] = [];
    for (let n = 0; n < 3; n++) {
      await watch.look();
      seen.push(changes);
    }
    expect(seen).toEqual([0, 1, 2]);
    watch.stop();
  });

  it('takes "could not look" for a change', () => {
    const watch = watching(false, {
      changes() {
        throw new Error('disk away');
      },
    });
    clock.nowMs = 1e9;
    void watch.look();
    expect(changes).toBe(1);
    watch.stop();
  });
});

describe('Turns', () => {
  it('runs work of one id in order and of others at once, also after a failure', async () => {
    const turns = new Turns();
    const order: string[] = [];
    const first = pendingRead<undefined>();
    const a1 = turns.take('a', async () => {
      await first.read();
      order.push('a1');
      throw new Error('a1 failed');
    });
    const a2 = turns.take('a', async () => order.push('a2'));
    await turns.take('b', async () => order.push('b'));
    first.end(undefined);
    await expect(a1).rejects.toThrow('a1 failed');
    await a2;
    expect(order).toEqual(['b', 'a1', 'a2']);
    expect(await turns.take('a', async () => 'free')).toBe('free');
  });
});
