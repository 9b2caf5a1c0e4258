// A host at a steady pace: who would wait for too long is refused at once, who would not is let in.
import { expect, it } from 'vitest';
import { Traffic, type Pending } from '../../../src/token/traffic.js';
import type { Queue } from '../../../src/token/turns.js';

const turns = { window: 128, room: 4096, roomWhileAway: 512 };

it('refuses what would wait for more than half of its deadline, and not another asker', () => {
  let nowMs = 0;
  const clock = { monotonicMs: () => nowMs };
  const traffic = new Traffic({ turns, deadlineMs: 2000, awayMs: 2000, clock });
  const [busy, other] = [traffic.queue(false), traffic.queue(false)];
  let id = 0;
  const enter = (queue: Queue<Pending>): void => {
    const pending = { queue, places: 1, deadlineAtMs: traffic.deadline(), waitedMs: 0, held: undefined } as Pending;
    if (!traffic.enter(id, pending)) pending.held = { id, args: [], bytes: 0, call: {} as never };
    id += 1;
  };
  traffic.open();
  for (let call = 0; call < 300; call++) enter(busy);
  expect(traffic.admits(busy)).toBe(true);
  // One answer in 10 ms: of a deadline of 2,000, half are 100 calls.
  const sent = Array.from({ length: 64 }, (_, first) => first);
  for (let answer = 0; answer < 70; answer++) {
    nowMs += 10;
    expect(traffic.answered(sent.shift()!)).toBeDefined();
    for (let held = traffic.next(); held !== undefined; held = traffic.next()) sent.push(held.id);
  }
  expect(traffic.state.waiting).toBeGreaterThan(100);
  expect(traffic.admits(busy)).toBe(false);
  expect(traffic.admits(other)).toBe(true);
});
