// CKA_IDs of all rows of a Region, 16 bytes each, in their order: as texts in a set, 100,000 of them take 30 MB and hold up the event loop
// whenever the set grows.

const idBytes = 16;
const isId = /^[0-9a-f]{32}$/;

/** Ids as 32 lower-case hex digits, whose order is that of their bytes. */
export class PackedIds implements Iterable<string> {
  readonly #pages: Buffer[] = [];
  #last = '';

  /** Each page goes on where the last one ended. What is no id, or out of order, is of another hand: it is left out. */
  add(page: readonly string[]): void {
    const ids = page.filter((id) => {
      if (id <= this.#last || !isId.test(id)) return false;
      this.#last = id;
      return true;
    });
    this.#pages.push(Buffer.from(ids.join(''), 'hex'));
  }

  *[Symbol.iterator](): Generator<string, undefined> {
    for (const page of this.#pages) {
      for (let at = 0; at < page.length; at += idBytes) yield page.toString('hex', at, at + idBytes);
    }
    return undefined;
  }
}
