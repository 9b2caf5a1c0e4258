// Values kept in memory, bounded by what they hold in bytes, all together. What needs room takes it from what was not used lately.

/** One value, wherever it is kept. */
export interface Kept {
  /** Uses since it was looked at, as far as they count. */
  uses: number;
}

const usesThatCount = 3;

/** At each use: it costs nothing, and saves the value from the next looks at what may go. */
export function use(kept: Kept | undefined): void {
  if (kept !== undefined && kept.uses < usesThatCount) kept.uses += 1;
}

interface Item extends Kept {
  readonly value: object;
  bytes: number;
  /** When the value must go, each place forgets it. */
  readonly places: Map<object, { readonly bytes: number; readonly leave: () => void }>;
  previous: Item;
  next: Item;
}

/** A ring of values from the oldest on (CLOCK): one that was used since it was looked at last goes to the end instead of out. */
export class BoundedMemory {
  readonly #limitBytes: number;
  readonly #items = new WeakMap<object, Item>();
  /** The ring's fixed point: what follows it is the oldest. */
  readonly #ring: Item = ring();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Keeps `value` in `place` too, until `leave` is called or `release`. Its own bytes count once, however many places it has; `placeBytes`
   * are those of this place. May call `leave` of any value, of this one at the latest.
   */
  keep(value: object, valueBytes: number, place: object, placeBytes: number, leave: () => void): Kept {
    const known = this.#items.get(value);
    if (known !== undefined) {
      const before = known.places.get(place);
      known.places.set(place, { bytes: placeBytes, leave });
      this.#grow(known, placeBytes - (before?.bytes ?? 0));
      this.#makeRoom();
      return known;
    }
    const places = new Map([[place, { bytes: placeBytes, leave }]]);
    const bytes = valueBytes + placeBytes;
    const item: Item = { value, bytes, uses: 0, places, previous: this.#ring, next: this.#ring };
    this.#bytes += bytes;
    // Before it is among them, or it would be the only one that was not used.
    this.#makeRoom();
    if (this.#bytes > this.#limitBytes) {
      this.#bytes -= bytes;
      leave();
    } else {
      this.#items.set(value, item);
      this.#append(item);
    }
    return item;
  }

  /** `place` does not keep `value` any more. */
  release(value: object, place: object): void {
    const item = this.#items.get(value);
    const kept = item?.places.get(place);
    if (item === undefined || kept === undefined) return;
    item.places.delete(place);
    this.#grow(item, -kept.bytes);
    if (item.places.size === 0) this.#remove(item);
  }

  #grow(item: Item, bytes: number): void {
    item.bytes += bytes;
    this.#bytes += bytes;
  }

  #makeRoom(): void {
    while (this.#bytes > this.#limitBytes && this.#ring.next !== this.#ring) {
      const oldest = this.#ring.next;
      if (oldest.uses > 0) {
        oldest.uses -= 1;
        unlink(oldest);
        this.#append(oldest);
        continue;
      }
      this.#remove(oldest);
      for (const { leave } of oldest.places.values()) leave();
    }
  }

  #remove(item: Item): void {
    unlink(item);
    this.#items.delete(item.value);
    this.#bytes -= item.bytes;
  }

  #append(item: Item): void {
    item.previous = this.#ring.previous;
    item.next = this.#ring;
    this.#ring.previous.next = item;
    this.#ring.previous = item;
  }
}

function unlink(item: Item): void {
  item.previous.next = item.next;
  item.next.previous = item.previous;
}

function ring(): Item {
  const item = { value: {}, bytes: 0, uses: 0, places: new Map() } as unknown as Item;
  item.previous = item;
  item.next = item;
  return item;
}

/** What a text holds: V8 keeps one byte a character as long as all are Latin-1, two otherwise. */
export const textBytes = (text: string): number => 24 + text.length * (Buffer.byteLength(text) === text.length ? 1 : 2);
