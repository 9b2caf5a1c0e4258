// Kysely's SQLite dialect, except that a transaction takes the write lock at once (one that reads first could otherwise not go on to
// write) and that it waits for it without holding up the event loop. Every write of the store is in a transaction for that reason.
import {
  CompiledQuery,
  SqliteAdapter,
  SqliteDialect,
  SqliteDriver,
  type DatabaseConnection,
  type DialectAdapter,
  type Driver,
} from 'kysely';
import { BridgeError } from '../../kernel/errors.js';
import type { Timers } from '../../kernel/timers.js';
import { busyTimeoutMs, type SqliteConnection } from './connection.js';

const askAgainMs = 2;

export class WriteFirstDialect extends SqliteDialect {
  readonly #connection: SqliteConnection;
  readonly #timers: Timers;

  constructor(connection: SqliteConnection, timers: Timers) {
    super({ database: connection });
    this.#connection = connection;
    this.#timers = timers;
  }

  override createDriver(): Driver {
    return new WriteFirstDriver(this.#connection, this.#timers);
  }

  override createAdapter(): DialectAdapter {
    return new TransactionalAdapter();
  }
}

class WriteFirstDriver extends SqliteDriver {
  readonly #connection: SqliteConnection;
  readonly #timers: Timers;

  constructor(connection: SqliteConnection, timers: Timers) {
    super({ database: connection });
    this.#connection = connection;
    this.#timers = timers;
  }

  override async beginTransaction(): Promise<void> {
    for (let waitedMs = 0; !this.#connection.tryBegin(); waitedMs += askAgainMs) {
      if (waitedMs >= busyTimeoutMs) {
        throw new BridgeError('KMSInternalException', undefined, { cause: new Error('the database stays locked') });
      }
      await this.#timers.sleep(askAgainMs);
    }
  }

  override commitTransaction(connection: DatabaseConnection): Promise<void> {
    this.#connection.beforeCommit();
    return super.commitTransaction(connection);
  }

  /** SQLite rolls back by itself after a full disk or an I/O error; a second rollback would hide the first error. */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.#connection.inTransaction) await connection.executeQuery(CompiledQuery.raw('rollback'));
  }
}

/** Lets the migrator run in one transaction, whose write lock keeps a second gateway out until it is done. */
class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}
