// A set of names that gives pages in their order, each for about its own length of work: names lie in buckets by their first byte, and a
// bucket is sorted when a page comes to it.

export class OrderedNames {
  readonly #buckets = Array.from({ length: 256 }, () => new Set<string>());

  add(name: string): void {
    this.#bucket(name)?.add(name);
  }

  delete(name: string): void {
    this.#bucket(name)?.delete(name);
  }

  clear(): void {
    for (const bucket of this.#buckets) bucket.clear();
  }

  /** The first `limit` names that come after this one; undefined: the first of all. */
  after(name: string | undefined, limit: number): string[] {
    const page: string[] = [];
    for (let at = name?.charCodeAt(0) ?? 0; at < this.#buckets.length && page.length < limit; at++) {
      const names = [...(this.#buckets[at] ?? [])].filter((each) => name === undefined || each > name).sort();
      page.push(...names.slice(0, limit - page.length));
    }
    return page;
  }

  /** Names are bytes in latin1: each character is one. */
  #bucket(name: string): Set<string> | undefined {
    return this.#buckets[name.charCodeAt(0)];
  }
}
