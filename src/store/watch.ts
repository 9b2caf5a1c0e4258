// Looks whether another process changed the database, so that nothing is served that was changed before it was asked for.
import type { MonotonicClock } from '../kernel/clock.js';
import type { Cancel, Timers } from '../kernel/timers.js';
import type { Backend, Changed } from './backend.js';

export interface ChangeWatchOptions {
  readonly backend: Backend;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** The timer's interval. */
  readonly pollMs: number;
  /** Other gateways write too: then each read looks. Otherwise no process should, and the timer's look is enough. */
  readonly shared: boolean;
  /** Must make what was changed be read afresh. */
  readonly onChange: (changed: Changed) => void;
}

export class ChangeWatch {
  readonly #options: ChangeWatchOptions;
  readonly #cancelLooks: Cancel;
  #checkedAtMs: number;

  constructor(options: ChangeWatchOptions) {
    this.#options = options;
    this.#checkedAtMs = options.clock.monotonicMs();
    this.#cancelLooks = options.timers.every(options.pollMs, () => void this.#check());
  }

  /**
   * Before a cached value is served. A gateway commits a change before it answers, so a look when a request comes in shows what was
   * answered before it was sent. The promise, if there is one, is to be waited for. A gateway on its own only makes up for a timer that a busy event loop kept waiting.
   */
  look(): Promise<void> | undefined {
    const { backend, clock, pollMs, shared } = this.#options;
    return (shared ? backend.mayHaveChanged() : clock.monotonicMs() - this.#checkedAtMs > 2 * pollMs)
      ? this.#check()
      : undefined;
  }

  stop(): void {
    this.#cancelLooks();
  }

  /** A promise only where the database has to be waited for. */
  #check(): Promise<void> | undefined {
    const { backend, clock, onChange } = this.#options;
    this.#checkedAtMs = clock.monotonicMs();
    const report = (changed: Changed): void => {
      if (changed.length > 0) onChange(changed);
    };
    // A gateway that could not look must not go on as if nothing had changed; the reads that follow report the database's error.
    try {
      const changed = backend.changes();
      if (changed instanceof Promise) return changed.then(report).catch(() => onChange('all'));
      report(changed);
    } catch {
      onChange('all');
    }
    return undefined;
  }
}
