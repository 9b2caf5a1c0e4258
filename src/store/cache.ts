// Reads kept in memory. What was dropped is never served again, also not by a read that had begun before.
import { BridgeError } from '../kernel/errors.js';

const attempts = 10;

/** Holds found values only ("absent" is asked again each time); at most `limit`, the oldest leave first. */
export class ReadCache<V> {
  readonly #limit: number;
  readonly #entries = new Map<string, Promise<V | undefined>>();
  #generation = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Another number after each drop: what was derived from the entries before is out of date. */
  get generation(): number {
    return this.#generation;
  }

  get(id: string): Promise<V | undefined> | undefined {
    return this.#entries.get(id);
  }

  /** Reads and keeps; who asks for the same meanwhile gets the same promise. A failed read is not kept. */
  load(id: string, read: () => Promise<V | undefined>): Promise<V | undefined> {
    const reading = this.#readCurrent(read);
    const oldest = this.#entries.keys().next();
    if (this.#entries.size >= this.#limit && oldest.done !== true) this.#entries.delete(oldest.value);
    this.#entries.set(id, reading);
    const leave = (): void => {
      if (this.#entries.get(id) === reading) this.#entries.delete(id);
    };
    reading.then((value) => {
      if (value === undefined) leave();
    }, leave);
    return reading;
  }

  drop(id: string): void {
    this.#generation++;
    this.#entries.delete(id);
  }

  clear(): void {
    this.#generation++;
    this.#entries.clear();
  }

  /** Checking a seal takes time in the token, and a row may change under it: then it is read again. */
  async #readCurrent(read: () => Promise<V | undefined>): Promise<V | undefined> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const generation = this.#generation;
      const value = await read();
      if (generation === this.#generation) return value;
    }
    throw new BridgeError('KMSInternalException');
  }
}
