// Says from time to time that this gateway lives. One that others hold to be over ends: they may be at the work that it had begun.
import type { Cancel, Timers } from '../kernel/timers.js';
import type { Gateway } from './gateway.js';

/** A sixth of the silence after which a life is over (store/lives.ts). */
const everyMs = 10_000;

/** `onOver`: the store has this life no more. A beat that cannot be written is tried again at the next. */
export function heartbeat({ store, log }: Gateway, timers: Timers, onOver: () => void): Cancel {
  return timers.every(everyMs, () => {
    store.lives.beat().then(
      (lives) => {
        if (!lives) onOver();
      },
      (error: unknown) => log.warn(`the sign of life could not be written: ${String(error)}`),
    );
  });
}
