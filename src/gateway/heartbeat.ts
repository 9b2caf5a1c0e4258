// Says from time to time that this gateway lives. One that others hold to be over ends: they may be at the work that it had begun.
import type { Cancel, Timers } from '../kernel/timers.js';
import type { Gateway } from './gateway.js';

/** A sixth of the silence after which a life is over (store/lives.ts). */
const everyMs = 10_000;

/** `onOver`: the store has this life no more. A beat that cannot be written is tried again at the next; the first of a row is logged. */
export function heartbeat({ store, log }: Pick<Gateway, 'store' | 'log'>, timers: Timers, onOver: () => void): Cancel {
  let failing = false;
  return timers.every(everyMs, () => {
    store.lives.beat().then(
      (lives) => {
        failing = false;
        if (!lives) onOver();
      },
      (error: unknown) => {
        if (!failing) log.warn(`the sign of life could not be written: ${String(error)}`);
        failing = true;
      },
    );
  });
}
