// Reads kept in memory. What was dropped is never served again, also not by a read that had begun before.
import { use, type BoundedMemory, type Kept } from '../kernel/bounded-memory.js';
import { BridgeError } from '../kernel/errors.js';

const attempts = 10;

interface Entry<V> {
  readonly reading: Promise<V | undefined>;
  /** Of the time before which it was read. */
  readonly epoch: number;
  /** Undefined while it is being read. */
  kept: Kept | undefined;
  /** By which the memory knows it: the value, or this entry when the value is no object. */
  value: object | undefined;
}

/** What an entry costs beside its value: the map, the promise, the memory's own notes. */
const entryBytes = 500;

/** A keeper of rows (writes.ts), and of what was derived from them. Holds found values only ("absent" is asked again each time), as long as the memory they share has room for them. */
export class ReadCache<V> {
  readonly name: string;
  readonly #memory: BoundedMemory;
  readonly #sizeOf: (value: V) => number;
  readonly #entries = new Map<string, Entry<V>>();
  #generation = 0;
  #epoch = 0;
  #reads = 0;

  /** `sizeOf`: bytes that a value holds. */
  constructor(name: string, memory: BoundedMemory, sizeOf: (value: V) => number) {
    this.name = name;
    this.#memory = memory;
    this.#sizeOf = sizeOf;
  }

  /** Another number after each drop: what was derived from the entries before is out of date. */
  get generation(): number {
    return this.#generation;
  }

  /** How often something was read that was not there. */
  get reads(): number {
    return this.#reads;
  }

  get(id: string): Promise<V | undefined> | undefined {
    const entry = this.#entries.get(id);
    if (entry?.epoch !== this.#epoch) return undefined;
    use(entry.kept);
    return entry.reading;
  }

  /** Reads and keeps; what asks for the same meanwhile gets the same promise. A failed read is not kept. */
  load(id: string, read: () => Promise<V | undefined>): Promise<V | undefined> {
    this.#reads++;
    const reading = this.#readCurrent(read);
    const entry: Entry<V> = { reading, epoch: this.#epoch, kept: undefined, value: undefined };
    this.#forget(id);
    this.#entries.set(id, entry);
    reading.then(
      (value) => {
        if (this.#entries.get(id) !== entry) return;
        if (value === undefined) this.#entries.delete(id);
        else this.#keep(id, entry, value);
      },
      () => {
        if (this.#entries.get(id) === entry) this.#entries.delete(id);
      },
    );
    return reading;
  }

  drop(id: string): void {
    this.#generation++;
    this.#forget(id);
  }

  /** What was held before is found no more, and goes when its room is needed. */
  clear(): void {
    this.#generation++;
    this.#epoch++;
  }

  #keep(id: string, entry: Entry<V>, value: V): void {
    entry.value = typeof value === 'object' && value !== null ? value : entry;
    entry.kept = this.#memory.keep(entry.value, this.#sizeOf(value), entry, entryBytes + 2 * id.length, () => {
      if (this.#entries.get(id) === entry) this.#entries.delete(id);
    });
  }

  #forget(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    if (entry.value !== undefined) this.#memory.release(entry.value, entry);
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
