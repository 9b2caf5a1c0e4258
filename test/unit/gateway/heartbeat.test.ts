// A gateway's sign of life: what comes of one that others have given up, and of a store that cannot be written. Time is the test's.
import { expect, it } from 'vitest';
import { heartbeat } from '../../../src/gateway/heartbeat.js';
import { systemTimers, type Timers } from '../../../src/kernel/timers.js';
import type { Gateway } from '../../../src/gateway/gateway.js';

it('ends when others hold it to be over, and says once that it cannot be written', async () => {
  const said: string[] = [];
  let beat: () => void = () => undefined;
  const timers: Timers = {
    ...systemTimers,
    every(ms, call) {
      expect(ms).toBe(10_000);
      beat = call;
      return () => said.push('cancelled');
    },
  };
  const full = () => Promise.reject(new Error('disk full'));
  const answers = [
    () => Promise.resolve(true),
    full,
    full,
    () => Promise.resolve(true),
    full,
    () => Promise.resolve(false),
  ];
  const gateway = {
    store: { lives: { beat: () => answers.shift()!() } },
    log: { warn: (line: string) => said.push(line) },
  } as unknown as Gateway;
  const cancel = heartbeat(gateway, timers, () => said.push('over'));
  while (answers.length > 0) {
    beat();
    await new Promise((resolve) => setImmediate(resolve));
  }
  cancel();
  const warning = 'the sign of life could not be written: Error: disk full';
  expect(said).toEqual([warning, warning, 'over', 'cancelled']);
});
