// What cannot be undone is done at a second look: the wall clock may say anything at the first, and may be set right again by the second.
// How long lies between is measured by a clock that nobody sets.
import type { MonotonicClock } from '../kernel/clock.js';

/** Long enough for monitoring to show a wrong clock and for somebody to act; short beside the seven days a deletion waits at least. */
const delayMs = 60 * 60_000;

/** One process's memory of what it found due. */
export class SecondLook {
  readonly #clock: MonotonicClock;
  readonly #first = new Map<string, ReadonlyMap<string, number>>();

  constructor(clock: MonotonicClock) {
    this.#clock = clock;
  }

  /**
   * A look at all candidates of `subject`. One is ripe that has been a candidate for an hour, at each look that was ended. Whatever is
   * left out of one look begins again: a deletion that was cancelled, or all of them while the clock is not believed.
   */
  look(subject: string): Look {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#first.get(subject);
    const first = new Map<string, number>();
    return {
      isRipe(name) {
        const sinceMs = before?.get(name) ?? nowMs;
        first.set(name, sinceMs);
        return nowMs - sinceMs >= delayMs;
      },
      end: () => void this.#first.set(subject, first),
    };
  }
}

export interface Look {
  readonly isRipe: (name: string) => boolean;
  /** All have been seen. */
  readonly end: () => void;
}
