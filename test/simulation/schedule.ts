// The one order of everything that happens in a simulated world: by its time, and by a seeded draw among what happens at the same one. Time
// passes only here; whatever is not an event of this list runs to its end within the event that began it.

interface Happening {
  readonly atMs: number;
  readonly rank: number;
  readonly call: () => void;
}

export class Schedule {
  readonly random: () => number;
  /** No timer that repeats does so more often: what looks around ten times a second would be most of what happens. */
  strideMs = 3000;
  #nowMs = 0;
  readonly #heap: Happening[] = [];
  #count = 0;

  constructor(random: () => number) {
    this.random = random;
  }

  /** Since the beginning of the world. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** How much has happened. */
  get count(): number {
    return this.#count;
  }

  /** Nothing is ever taken back: who does not want it any more ignores it. */
  after(ms: number, call: () => void): void {
    this.#push({ atMs: this.#nowMs + ms, rank: this.random(), call });
  }

  /** Between `lowMs` and `highMs`. */
  between(lowMs: number, highMs: number): number {
    return lowMs + this.random() * (highMs - lowMs);
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[Math.floor(this.random() * from.length)];
    if (picked === undefined) throw new Error('there is nothing to pick from');
    return picked;
  }

  /** Lets happen what happens in this time, or until `done` says so; false when the time was up first. */
  async run(ms: number, done: () => boolean = () => false): Promise<boolean> {
    const endMs = this.#nowMs + ms;
    for (let next = this.#heap[0]; !done(); next = this.#heap[0]) {
      if (next === undefined || next.atMs > endMs) {
        this.#nowMs = endMs;
        return false;
      }
      this.#pop();
      this.#nowMs = next.atMs;
      this.#count += 1;
      next.call();
      // All promises that it settled have gone as far as they can without another event.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return true;
  }

  #push(happening: Happening): void {
    const heap = this.#heap;
    let at = heap.push(happening) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(heap[at]!, heap[above]!)) break;
      [heap[at], heap[above]] = [heap[above]!, heap[at]!];
      at = above;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let at = 0; ;) {
      let least = at;
      for (const below of [2 * at + 1, 2 * at + 2]) {
        if (below < heap.length && isBefore(heap[below]!, heap[least]!)) least = below;
      }
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }
}

const isBefore = (one: Happening, other: Happening): boolean =>
  one.atMs < other.atMs || (one.atMs === other.atMs && one.rank < other.rank);
