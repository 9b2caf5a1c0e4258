// The newest version of each row that this process has seen: an older one, however well sealed, was put back by another hand.

/** About 250 bytes each, 4 MB a table. Beyond it the ids that were not seen for longest are forgotten. */
const maxIds = 16_384;

interface Version {
  /** An alias that was removed and made again begins at version 1 again, in a later life. */
  readonly created_at_ms: number;
  readonly version: number;
}

export class NewestVersions {
  readonly #seen = new Map<string, Version>();

  isOlder(id: string, row: Version): boolean {
    const seen = this.#seen.get(id);
    if (seen === undefined) return false;
    if (row.created_at_ms === seen.created_at_ms) return row.version < seen.version;
    return row.created_at_ms < seen.created_at_ms && seen.version !== Infinity;
  }

  /** No row of this life of it is believed any more; a later one may be: its maker's clock may be behind. */
  noteRemoved(id: string, created_at_ms: number): void {
    this.note(id, { created_at_ms, version: Infinity });
  }

  note(id: string, { created_at_ms, version }: Version): void {
    const seen = this.#seen.get(id);
    const oldest = this.#seen.keys().next();
    if (seen === undefined && this.#seen.size >= maxIds && oldest.done !== true) this.#seen.delete(oldest.value);
    // To the end of those to be forgotten.
    this.#seen.delete(id);
    this.#seen.set(id, { created_at_ms, version });
  }
}
