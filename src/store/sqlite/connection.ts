// libsql behind the shape Kysely expects. Only strings, safe integers, bytes and null pass, and nothing after close: libsql 0.5 aborts the
// whole process on a boolean and on a closed database. Nothing passes either while the schema is not the daemon's own.
import { BridgeError } from '../../kernel/errors.js';
import type Database from 'libsql';
import type { Changed } from '../backend.js';
import type { SqliteDatabase, SqliteStatement } from 'kysely';

export const busyTimeoutMs = 5_000;
const statementLimit = 200;

export interface SchemaGuard {
  /** What is wrong with the schema; undefined when nothing is. */
  readonly inspect: (database: Pick<SqliteDatabase, 'prepare'>) => string | undefined;
  /** The schema of a database that was sound at first is not any more. */
  readonly onFault: (fault: string) => void;
}

/** Statements are kept, since the query builder writes few distinct texts and preparing one costs more than running it. */
export class SqliteConnection implements SqliteDatabase {
  readonly #database: Database.Database;
  readonly #statements = new Map<string, SqliteStatement>();

  #open = true;
  /** While the migrations run there is none. */
  #guard: SchemaGuard = { inspect: () => undefined, onFault: () => undefined };
  #schemaVersion: number | undefined;
  #fault: string | undefined;
  /** While the migrations run nobody hears of them. */
  #notify: (changed: Changed) => void = () => undefined;
  #announced: Changed = 'all';

  constructor(database: Database.Database) {
    this.#database = database;
  }

  /** What is wrong with the schema, as far as is known. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** The schema is judged from now on, at once and whenever it has changed; while it is found faulty every statement fails. */
  guard(guard: SchemaGuard): void {
    this.#guard = guard;
    this.#schemaVersion = undefined;
    this.checkSchema();
  }

  /**
   * SQLite takes in another schema when this number differs from the one it knows, and only then. In a transaction that has the write
   * lock it stays true until the commit.
   */
  checkSchema(): void {
    const known = this.#schemaVersion;
    const { schema_version: version } = this.#prepared('PRAGMA schema_version').all([])[0] as {
      schema_version: number;
    };
    if (version === known) return;
    this.#fault = this.#guard.inspect({ prepare: (text) => this.#prepared(text) });
    this.#schemaVersion = version;
    if (this.#fault !== undefined && known !== undefined) this.#guard.onFault(this.#fault);
  }

  /** From now on each commit says what it changed, by `notify` as the last statement of its transaction. */
  tellBy(notify: (changed: Changed) => void): void {
    this.#notify = notify;
  }

  /** What the open transaction changed; everything as long as nothing is said. */
  announce(changed: Changed): void {
    this.#announced = changed;
  }

  beforeCommit(): void {
    this.#notify(this.#announced);
  }

  get inTransaction(): boolean {
    return this.#open && this.#database.inTransaction;
  }

  /** False when another connection is writing. */
  tryBegin(): boolean {
    // SQLite would wait in this very thread, and with it every request of the gateway.
    this.#prepared('PRAGMA busy_timeout = 0').all([]);
    try {
      // Not a kept statement: one that was refused would stay in progress and no transaction could commit.
      attempt(() => this.#database.exec('BEGIN IMMEDIATE'));
      this.#requireOwnSchema();
      this.#announced = 'all';
      return true;
    } catch (error) {
      if (isBusy(error)) return false;
      throw error;
    } finally {
      this.#prepared(`PRAGMA busy_timeout = ${busyTimeoutMs}`).all([]);
    }
  }

  prepare(text: string): SqliteStatement {
    this.#refuseWhileFaulty();
    return this.#prepared(text);
  }

  #requireOwnSchema(): void {
    try {
      this.checkSchema();
      this.#refuseWhileFaulty();
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #refuseWhileFaulty(): void {
    if (this.#fault === undefined) return;
    throw new BridgeError('KMSInternalException', undefined, { cause: new Error(`the database: ${this.#fault}`) });
  }

  #prepared(text: string): SqliteStatement {
    if (!this.#open)
      throw new BridgeError('KMSInternalException', undefined, { cause: new Error('the store is closed') });
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    if (this.#statements.size >= statementLimit) this.#statements.clear();
    const statement = this.#wrap(
      text,
      attempt(() => this.#database.prepare(text)),
    );
    this.#statements.set(text, statement);
    return statement;
  }

  /** SQLite's counter of commits by other connections. */
  dataVersion(): unknown {
    return this.#prepared('PRAGMA data_version').all([])[0];
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#statements.clear();
    this.#database.close();
  }

  #wrap(text: string, statement: Database.Statement): SqliteStatement {
    // A statement that failed may not have been reset: it is prepared anew.
    const guarded = <T>(run: () => T): T => {
      try {
        return attempt(run);
      } catch (error) {
        this.#statements.delete(text);
        throw error;
      }
    };
    const rows = (parameters: readonly unknown[]) =>
      guarded(() => statement.all(bindable(parameters)).map((row) => withBuffers(row)));
    return {
      reader: statement.reader,
      all: rows,
      iterate: (parameters) => rows(parameters).values(),
      run: (parameters) => guarded(() => statement.run(bindable(parameters))),
    };
  }
}

function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof BridgeError || error instanceof TypeError) throw error;
    throw new BridgeError('KMSInternalException', undefined, { cause: error });
  }
}

function isBusy(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && String(cause.code).startsWith('SQLITE_BUSY');
}

function bindable(parameters: readonly unknown[]): unknown[] {
  return parameters.map((value) => {
    if (value === null || value instanceof Uint8Array || Number.isSafeInteger(value)) return value;
    if (typeof value !== 'string') throw new TypeError(`a ${typeof value} cannot be stored`);
    // libsql ends a text that it reads at its first NUL: such a row would never match its seal again.
    if (value.includes('\0'))
      throw new BridgeError('ValidationException', 'Text must not contain the character U+0000.');
    return value;
  });
}

/** libsql gives blobs as ArrayBuffer, and rows that are nobody else's. */
function withBuffers(row: unknown): unknown {
  const columns = row as Record<string, unknown>;
  for (const name in columns) {
    const value = columns[name];
    if (value instanceof ArrayBuffer) columns[name] = Buffer.from(value);
  }
  return columns;
}
