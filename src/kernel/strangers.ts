// Strangers and whom of them to let go: a bounded number in all and of one source, the oldest first. Nobody's crowd takes all the room.
export interface StrangerLimits {
  readonly all: number;
  /** Of one source (`sourceOf`). Those without one are not told apart. */
  readonly ofSource: number;
}

export class Strangers<T> {
  readonly #limits: StrangerLimits;
  /** With its source, the oldest first, here and by source. */
  readonly #all = new Map<T, string | undefined>();
  readonly #bySource = new Map<string, Set<T>>();

  constructor(limits: StrangerLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#all.size;
  }

  get isFull(): boolean {
    return this.#all.size >= this.#limits.all;
  }

  get oldest(): T | undefined {
    const [oldest] = this.#all.keys();
    return oldest;
  }

  /** Who has to go before one more of this source comes in, for the sake of the other sources; undefined: nobody. */
  tooManyOf(source: string | undefined): T | undefined {
    const ofSource = source === undefined ? undefined : this.#bySource.get(source);
    if (ofSource === undefined || ofSource.size < this.#limits.ofSource) return undefined;
    const [oldest] = ofSource;
    return oldest;
  }

  add(stranger: T, source: string | undefined): void {
    this.#all.set(stranger, source);
    if (source === undefined) return;
    const ofSource = this.#bySource.get(source);
    if (ofSource === undefined) this.#bySource.set(source, new Set([stranger]));
    else ofSource.add(stranger);
  }

  delete(stranger: T): void {
    const source = this.#all.get(stranger);
    if (!this.#all.delete(stranger) || source === undefined) return;
    const ofSource = this.#bySource.get(source);
    ofSource?.delete(stranger);
    if (ofSource?.size === 0) this.#bySource.delete(source);
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#all.keys();
  }
}
