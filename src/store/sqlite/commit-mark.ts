// Tells for half a microsecond whether a commit may have happened, by the header of SQLite's WAL index (the -shm file), which each commit
// rewrites ("WAL-mode File Format", 2.1); `PRAGMA data_version` would take ten times as long. Never says no when there was one.
import { closeSync, openSync, readSync } from 'node:fs';

/** One of the two copies of the header: version, change counter, last frame, checksums, salts. */
const headerBytes = 48;
const knownVersion = 3_007_000;
/** The header's counter of commits, in words; it begins again when the index is made anew. */
const counter = 2;
/** Others may commit between. */
const mostCommitsBetween = 64;

export class CommitMark {
  #file: number | undefined;
  readonly #now = new Int32Array(headerBytes / 4);
  readonly #seen = new Int32Array(headerBytes / 4);
  readonly #counted = new Int32Array(headerBytes / 4);
  #trusted = false;
  #counts = false;

  /** `path`: the database, open in WAL mode. Without a header of the known form every look says "maybe". */
  constructor(path: string) {
    this.#file = open(`${path}-shm`);
  }

  /**
   * Runs `commit`, which commits something, and believes the header from then on only if that was seen in it: a file system may keep
   * reads of a file apart from memory that is mapped to it. A commit that fails (a full disk) proves nothing, and is no failure here.
   */
  async prove(commit: () => Promise<void>): Promise<void> {
    this.#trusted = true;
    this.moved();
    const before = this.#seen[counter] ?? 0;
    const committed = await commit().then(
      () => true,
      () => false,
    );
    this.#trusted = committed && this.moved() && this.#seen[0] === knownVersion;
    const more = commitsBetween(before, this.#seen[counter] ?? 0);
    this.#counts = this.#trusted && more >= 1 && more <= mostCommitsBetween;
  }

  /** The counter of commits, of which only differences mean something; undefined when it cannot be relied on. */
  commits(): number | undefined {
    if (this.#file === undefined || !this.#counts) return undefined;
    try {
      return readSync(this.#file, this.#counted, 0, headerBytes, 0) === headerBytes
        ? this.#counted[counter]
        : undefined;
    } catch {
      return undefined;
    }
  }

  /** Once the database is closed: closing a file ends all locks that the process holds on it (fcntl(2)), SQLite's too. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  /** True when the header is another than at the last call, or cannot be relied on. */
  moved(): boolean {
    if (this.#file === undefined || !this.#trusted) return true;
    try {
      if (readSync(this.#file, this.#now, 0, headerBytes, 0) !== headerBytes) return true;
    } catch {
      return true;
    }
    let moved = false;
    for (let word = 0; word < this.#now.length; word++) {
      const value = this.#now[word] ?? 0;
      if (this.#seen[word] === value) continue;
      this.#seen[word] = value;
      moved = true;
    }
    return moved;
  }
}

/** It is 32 bits wide, and goes round. */
export const commitsBetween = (before: number, after: number): number => (after - before) >>> 0;

function open(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch {
    return undefined;
  }
}
