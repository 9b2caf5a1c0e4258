// Tells a token host that hangs from one that has more to do than it can: only the first says nothing at all for a whole deadline.

export class Silence {
  readonly #limitMs: number;
  readonly #mostMs: number;
  #hasSpoken = false;
  #silentMs = 0;
  #lookedAtMs = 0;
  #reported = false;

  /** `lookEveryMs`: the pace of `tooLong`. */
  constructor(limitMs: number, lookEveryMs: number) {
    this.#limitMs = limitMs;
    // A look that comes later than this was late because this process stood still, and the host may have stood still with it.
    this.#mostMs = 2 * lookEveryMs;
  }

  /** The host has said something, or has only now been given something to do. */
  heard(): void {
    this.#hasSpoken = true;
  }

  /** Another host: what the last one did says nothing about it. */
  reset(): void {
    this.#silentMs = 0;
    this.#reported = false;
  }

  /** Looks. `busy`: the host has something to do. True once, when it has had for the whole limit and said nothing. */
  tooLong(nowMs: number, busy: boolean): boolean {
    const sinceMs = Math.min(nowMs - this.#lookedAtMs, this.#mostMs);
    this.#lookedAtMs = nowMs;
    this.#silentMs = busy && !this.#hasSpoken ? this.#silentMs + sinceMs : 0;
    this.#hasSpoken = false;
    if (this.#silentMs < this.#limitMs || this.#reported) return false;
    this.#reported = true;
    return true;
  }
}
