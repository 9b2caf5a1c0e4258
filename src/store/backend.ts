// What the stores need of a database; src/store/sqlite brings one, another database joins by bringing the same.
import type { Kysely, RawBuilder, Transaction } from 'kysely';
import type { PlainTables } from './plain-tables.js';

/** Rows by what keeps them and id, `keys:…`; 'all' when it cannot be said which. */
export type Changed = readonly string[] | 'all';

/** What a transaction came to, and which rows it changed: everything that keeps them hears of it. */
export interface Written<T> {
  readonly result: T;
  readonly changed: Changed;
}

/**
 * Queries fail with BridgeError KMSInternalException (the database's own error is its `cause`); a value that the database cannot
 * hold fails before it reaches the driver. Transactions see no other writer between their first statement and their commit.
 */
export interface Backend {
  /** For reads. */
  readonly db: Kysely<PlainTables>;
  /** The database's clock, in milliseconds since 1970-01-01 UTC, as a part of a query. All that share the database share it. */
  readonly nowMs: RawBuilder<number>;
  /** One transaction, durable when it resolves. `work` begins again from its first statement when the database asks for that. */
  write<T>(work: (trx: Transaction<PlainTables>) => Promise<Written<T>>): Promise<T>;
  /** Why every query fails: the schema is not the one that this version makes. Known after `changes` and in each transaction. */
  fault(): string | undefined;
  /** False when no other connection has committed since the last call; true costs nothing but a closer look. Takes half a microsecond. */
  mayHaveChanged(): boolean;
  /**
   * What other connections have committed since the last call, by their notices; 'all' when there is a commit without one, as a
   * writer makes that goes past the daemon. Throws when it could not look. A promise where the database is not in this process.
   */
  changes(): Changed | Promise<Changed>;
  close(): Promise<void>;
}

/** Hears what is wrong with the schema of a store that is open. */
export type OnFault = (fault: string) => void;

/** Why a store cannot be opened. Its message names the file and says what is wrong with it; nothing is retried. */
export class StoreOpenError extends Error {
  /** `damaged`: not a store of this version of the daemon; `unwritable`: the file or its disk refuses. */
  readonly reason: 'damaged' | 'unwritable';

  constructor(reason: 'damaged' | 'unwritable', message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreOpenError';
    this.reason = reason;
  }
}
