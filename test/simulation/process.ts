// A process of the simulated world. What it was waiting for when it is killed never comes, so that nothing of it runs any more; while it is
// frozen, everything that happens to it waits.
import type { Clock, MonotonicClock } from '../../src/kernel/clock.js';
import type { Random } from '../../src/kernel/random.js';
import type { Timers } from '../../src/kernel/timers.js';
import type { Schedule } from './schedule.js';

/** What a killed process's own code is interrupted by, where it cannot simply be left waiting. */
export class Killed extends Error {}

const killed = new Killed();

let numbers = 0;

export class Process {
  /** Of all processes that there ever were. */
  readonly number = ++numbers;
  readonly name: string;
  readonly #schedule: Schedule;
  readonly #endings: (() => void)[] = [];
  readonly #steps = new Set<(reason: Killed) => void>();
  #alive = true;
  #frozenUntilMs = 0;

  constructor(schedule: Schedule, name: string) {
    this.#schedule = schedule;
    this.name = name;
  }

  get isAlive(): boolean {
    return this.#alive;
  }

  /** At once. Each of `endings` is called: what the kernel does about what the process had open. */
  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    for (const ending of this.#endings.splice(0)) ending();
    for (const reject of this.#steps) reject(killed);
    this.#steps.clear();
  }

  onEnd(ending: () => void): void {
    this.#endings.push(ending);
  }

  freeze(ms: number): void {
    this.#frozenUntilMs = Math.max(this.#frozenUntilMs, this.#schedule.nowMs + ms);
  }

  /** Something that happens to this process. */
  after(ms: number, call: () => void): void {
    const happen = (): void => {
      if (!this.#alive) return;
      const frozenMs = this.#frozenUntilMs - this.#schedule.nowMs;
      if (frozenMs > 0) this.#schedule.after(frozenMs, happen);
      else call();
    };
    this.#schedule.after(ms, happen);
  }

  /** Resolves that much later; never, when the process is killed before. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** The same, but rejects with Killed then: for what must be undone in this very process. */
  step(ms: number): Promise<void> {
    if (!this.#alive) return Promise.reject(killed);
    return new Promise((resolve, reject) => {
      this.#steps.add(reject);
      this.after(ms, () => {
        this.#steps.delete(reject);
        resolve();
      });
    });
  }

  /** `drawn`: for ids. */
  random(drawn: () => number): Random {
    // What is long is filling, and no id.
    const bytes = (length: number): Buffer =>
      length > 64 ? Buffer.alloc(length, 'x') : Buffer.from(Array.from({ length }, () => Math.floor(drawn() * 256)));
    return {
      bytes,
      uuid() {
        const hex = bytes(16).toString('hex');
        const variant = '89ab'[Math.floor(drawn() * 4)] ?? '8';
        return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
      },
    };
  }

  get timers(): Timers {
    const schedule = this.#schedule;
    return {
      after: (ms, call) => {
        let cancelled = false;
        this.after(ms, () => {
          if (!cancelled) call();
        });
        return () => void (cancelled = true);
      },
      every: (ms, call) => {
        let cancelled = false;
        const again = (): void =>
          this.after(Math.max(ms, schedule.strideMs), () => {
            if (cancelled) return;
            again();
            call();
          });
        again();
        return () => void (cancelled = true);
      },
      soon: (call) => this.after(schedule.between(0, 0.05), call),
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason as Error));
          this.after(ms, resolve);
        }),
    };
  }
}

/** The machine's clocks: the one counts, the other is set by whoever likes. */
export class MachineClock implements Clock, MonotonicClock {
  readonly #schedule: Schedule;
  readonly #startedAtMs: number;
  offsetMs = 0;

  constructor(schedule: Schedule, startedAtMs: number) {
    this.#schedule = schedule;
    this.#startedAtMs = startedAtMs;
  }

  now(): number {
    return Math.floor(this.#startedAtMs + this.#schedule.nowMs + this.offsetMs);
  }

  monotonicMs(): number {
    return this.#schedule.nowMs;
  }
}
