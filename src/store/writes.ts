// A change of the database: one transaction, what it touched, and what this process makes of that once it is committed or may be.
import type { Transaction } from 'kysely';
import type { Backend } from './backend.js';
import type { PlainTables } from './plain-tables.js';

/** Keeps something of rows. */
export interface Keeper {
  /** By which the keepers of other gateways are told. */
  readonly name: string;
  /** Forgets what it keeps of the row. */
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
        const result = await work(write);
        return { result: { write, result }, changed: namesOf(touched) };
      });
      write.committed();
      return result;
    } finally {
      for (const [keeper, ids] of touched) for (const id of ids) keeper.drop(id);
    }
  }
}

const namesOf = (touched: ReadonlyMap<Keeper, ReadonlySet<string>>): string[] =>
  [...touched].flatMap(([{ name }, ids]) => [...ids].map((id) => `${name}:${id}`));

/** Lets the keepers forget what another gateway has changed. False when a name is none of theirs: they do not know what to forget then. */
export function dropNamed(keepers: readonly Keeper[], changed: readonly string[]): boolean {
  let known = true;
  for (const row of changed) {
    const end = row.indexOf(':');
    const keeper = keepers.find(({ name }) => name === row.slice(0, end));
    if (keeper === undefined) known = false;
    else keeper.drop(row.slice(end + 1));
  }
  return known;
}
