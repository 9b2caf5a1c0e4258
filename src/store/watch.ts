// Looks whether another process changed the database, so that nothing is served that was changed before it was asked for.
import type { MonotonicClock } from '../kernel/clock.js';
import type { Cancel, Timers } from '../kernel/timers.js';
import type { Backend } from './backend.js';

export interface ChangeWatchOptions {
  readonly backend: Backend;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** The timer's interval. */
  readonly pollMs: number;
  /** Other gateways write too: then each read looks. Otherwise nobody should, and the timer's look is enough. */
  readonly shared: boolean;
  /** Must make everything be read afresh. */
  readonly onChange: () => void;
}

export class ChangeWatch {
  readonly #options: ChangeWatchOptions;
  readonly #cancelLooks: Cancel;
  #checkedAtMs: number;

  constructor(options: ChangeWatchOptions) {
    this.#options = options;
    this.#checkedAtMs = options.clock.monotonicMs();
    this.#cancelLooks = options.timers.every(options.pollMs, () => this.#check());
  }

  /**
   * Before a cached value is served. A gateway commits a change before it answers, so who looks when a request comes in sees what was
   * answered before it was sent. A gateway on its own only makes up for a timer that a busy event loop kept waiting.
   */
  look(): void {
    const { backend, clock, pollMs, shared } = this.#options;
    if (shared ? backend.mayHaveChanged() : clock.monotonicMs() - this.#checkedAtMs > 2 * pollMs) this.#check();
  }

  stop(): void {
    this.#cancelLooks();
  }

  #check(): void {
    const { backend, clock, onChange } = this.#options;
    this.#checkedAtMs = clock.monotonicMs();
    let changed = true;
    try {
      changed = backend.changedElsewhere();
    } catch {
      // Who could not look must not go on as if nothing had changed; the reads that follow report the database's error.
    }
    if (changed) onChange();
  }
}
