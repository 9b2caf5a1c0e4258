// Looks whether another process changed the database, often enough that nothing is served stale for a second.
import type { Clock } from '../kernel/clock.js';
import type { Backend } from './backend.js';

export class ChangeWatch {
  readonly #backend: Backend;
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #onChange: () => void;
  readonly #timer: NodeJS.Timeout;
  #checkedAtMs: number;

  /** `onChange` must make everything be read afresh. */
  constructor(backend: Backend, clock: Clock, pollMs: number, onChange: () => void) {
    this.#backend = backend;
    this.#clock = clock;
    this.#pollMs = pollMs;
    this.#onChange = onChange;
    this.#checkedAtMs = clock.now();
    this.#timer = setInterval(() => this.#check(), pollMs).unref();
  }

  /** Before a cached value is served: a busy event loop may have kept the timer waiting. */
  checkIfOverdue(): void {
    if (this.#clock.now() - this.#checkedAtMs > 2 * this.#pollMs) this.#check();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    this.#checkedAtMs = this.#clock.now();
    let changed = true;
    try {
      changed = this.#backend.changedElsewhere();
    } catch {
      // Who could not look must not go on as if nothing had changed; the reads that follow report the database's error.
    }
    if (changed) this.#onChange();
  }
}
