// A change of the database: one transaction, what it touched, and what this process makes of that once it is committed or may be.
import type { Transaction } from 'kysely';
import type { Backend } from './backend.js';
import type { PlainTables } from './plain-tables.js';

/** Forgets what it keeps of the row. */
export interface Keeper {
  drop(id: string): void;
}

/** One attempt at it. */
export class Write {
  readonly trx: Transaction<PlainTables>;
  readonly #touched: Map<Keeper, Set<string>>;
  readonly #whenCommitted: (() => void)[] = [];

  constructor(trx: Transaction<PlainTables>, touched: Map<Keeper, Set<string>>) {
    this.trx = trx;
    this.#touched = touched;
  }

  /** Before the row is written. */
  touch(keeper: Keeper, id: string): void {
    const ids = this.#touched.get(keeper);
    if (ids === undefined) this.#touched.set(keeper, new Set([id]));
    else ids.add(id);
  }

  whenCommitted(then: () => void): void {
    this.#whenCommitted.push(then);
  }

  committed(): void {
    for (const then of this.#whenCommitted) then();
  }
}

export class Writes {
  readonly #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** After a commit that failed nobody knows what is in the database: what was touched is forgotten either way. */
  async run<T>(work: (write: Write) => Promise<T>): Promise<T> {
    const touched = new Map<Keeper, Set<string>>();
    try {
      const { write, result } = await this.#backend.write(async (trx) => {
        const write = new Write(trx, touched);
        return { write, result: await work(write) };
      });
      write.committed();
      return result;
    } finally {
      for (const [keeper, ids] of touched) for (const id of ids) keeper.drop(id);
    }
  }
}
