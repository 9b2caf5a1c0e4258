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
   * Those of `candidates` that have been candidates for `subject` for an hour, at each look. Whatever is left out of one look begins
   * again: a deletion that was cancelled, or all of them while the clock is not believed.
   */
  ripe<T>(subject: string, candidates: readonly T[], nameOf: (candidate: T) => string): readonly T[] {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#first.get(subject);
    const first = new Map(candidates.map((each) => [nameOf(each), before?.get(nameOf(each)) ?? nowMs]));
    this.#first.set(subject, first);
    return candidates.filter((each) => nowMs - (first.get(nameOf(each)) ?? nowMs) >= delayMs);
  }
}
