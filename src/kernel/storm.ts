// What happens again and again, told at once the first time and then as a number: so that a storm is seen, and is not what fills the log.
import type { Timers } from './timers.js';

/** How long the next ones of the same are gathered. */
const gatherMs = 10_000;
/** Kinds that are told apart; the rest are one. */
const maxKinds = 100;

export class Storm<T> {
  readonly #report: (what: T, count: number) => void;
  readonly #timers: Timers;
  readonly #gathered = new Map<string, { last: T; count: number }>();

  /** `report`: `count` of them have happened since the last word, of which `what` is the latest. */
  constructor(report: (what: T, count: number) => void, timers: Timers) {
    this.#report = report;
    this.#timers = timers;
  }

  /** `kind`: what is told as one. */
  happened(kind: string, what: T): void {
    const name = this.#gathered.has(kind) || this.#gathered.size < maxKinds ? kind : '';
    const known = this.#gathered.get(name);
    if (known === undefined) {
      this.#gathered.set(name, { last: what, count: 0 });
      this.#report(what, 1);
      this.#gather(name);
    } else {
      known.last = what;
      known.count += 1;
    }
  }

  /** Tells what has been gathered. */
  flush(): void {
    for (const each of this.#gathered.values()) this.#reportOf(each);
  }

  #gather(name: string): void {
    this.#timers.after(gatherMs, () => {
      const known = this.#gathered.get(name);
      if (known === undefined) return;
      if (known.count === 0) this.#gathered.delete(name);
      else {
        this.#reportOf(known);
        this.#gather(name);
      }
    });
  }

  #reportOf(gathered: { readonly last: T; count: number }): void {
    if (gathered.count > 0) this.#report(gathered.last, gathered.count);
    gathered.count = 0;
  }
}
