// One database for one test, of whichever kind: opens stores on it as gateways do, and reaches under them as its administrator could.
import type { Clock, MonotonicClock } from '../../src/kernel/clock.js';
import type { Key } from '../../src/model/key.js';
import type { Store } from '../../src/ports/store.js';
import type { Tokens } from '../../src/ports/token.js';
import type { OnFault } from '../../src/store/backend.js';
import type { OnBroken } from '../../src/store/seal.js';
import { FakeTokens } from '../support/fake-token.js';

export interface OpenerOptions {
  readonly tokens: Tokens;
  readonly clock: Clock & MonotonicClock;
  readonly shared: boolean;
  readonly pollMs: number;
  readonly onBroken: OnBroken;
  readonly onFault: OnFault;
}

/** What a kind of database brings to the suite. */
export interface Database {
  open(options: OpenerOptions): Promise<Store>;
  /** Runs SQL on a connection of its own, without foreign keys; rows with blobs as Buffer. */
  administrate(sql: string, ...parameters: (string | number | Buffer | null)[]): Record<string, unknown>[];
  /** Every byte the database keeps on disk. */
  bytesOnDisk(): Buffer;
  dispose(): void;
}

/** Never fires within a test: changes are then seen only because the clock says that it is time to look. */
export const neverMs = 3_600_000;

/** Stores and a database that go away together. `clock` stands still until a test moves it. */
export class Bench {
  readonly tokens = new FakeTokens();
  readonly clock = {
    nowMs: 1_722_470_400_000,
    now: () => this.clock.nowMs,
    monotonicMs: () => this.clock.nowMs,
  };
  readonly database: Database;
  /** What the stores told of broken rows. */
  readonly broken: string[] = [];
  readonly faults: string[] = [];
  readonly #stores: Store[] = [];

  constructor(database: Database) {
    this.database = database;
  }

  async open(over: Partial<OpenerOptions> = {}): Promise<Store> {
    const onBroken = (table: string, id: string): void => void this.broken.push(`${table}:${id}`);
    const onFault = (fault: string): void => void this.faults.push(fault);
    const options = {
      onFault,
      tokens: this.tokens,
      clock: this.clock,
      shared: false,
      pollMs: neverMs,
      onBroken,
      ...over,
    };
    const store = await this.database.open(options);
    this.#stores.push(store);
    return store;
  }

  /** Lets every store look for changes before its next read. */
  passTime(): void {
    this.clock.nowMs += 3 * neverMs;
  }

  async dispose(): Promise<void> {
    for (const store of this.#stores) await store.close();
    this.database.dispose();
  }
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** Writes a row past the daemon, in the place of one with its primary key. */
export function putIn({ database }: Bench, table: string, row: Readonly<Record<string, unknown>>): void {
  const names = Object.keys(row);
  database.administrate(
    `insert or replace into ${table} (${names.join()}) values (${names.map(() => '?').join()})`,
    ...(Object.values(row) as (string | number | Buffer | null)[]),
  );
}

/** Every key of the Region with a sound seal, by its backing keys and by id. */
export async function everyKey(store: Store, region: string): Promise<Key[]> {
  const keys = new Map<string, Key>();
  for await (const page of store.keys.materials(region))
    for (const keyStore of new Set(page.map((place) => place.keyStore))) {
      const ids = page.filter((place) => place.keyStore === keyStore).map(({ ckaId }) => ckaId);
      for await (const key of store.keys.owners({ region, keyStore }, ids)) keys.set(key.keyId, key);
    }
  return [...keys.values()].sort((a, b) => (a.keyId < b.keyId ? -1 : 1));
}
