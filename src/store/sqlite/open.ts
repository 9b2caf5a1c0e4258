// Opens the SQLite file: owner-only, WAL, fsync at each commit, schema up to date. Safe when several gateways open it at once.
import { closeSync, fchmodSync, openSync } from 'node:fs';
import Database from 'libsql';
import { Kysely, sql } from 'kysely';
import type { Random } from '../../kernel/random.js';
import type { Timers } from '../../kernel/timers.js';
import { StoreOpenError, type Backend, type OnFault } from '../backend.js';
import type { PlainTables } from '../plain-tables.js';
import { CommitMark } from './commit-mark.js';
import { busyTimeoutMs, SqliteConnection } from './connection.js';
import { WriteFirstDialect } from './dialect.js';
import { Notices } from './notices.js';
import { difference, expectedSchema, migrate, readSchema } from './schema.js';

export interface SqliteOptions {
  readonly random: Random;
  readonly timers: Timers;
  readonly onFault: OnFault;
}

/** Fails with StoreOpenError. The folder of `path` must exist. */
export async function openSqlite(path: string, { random, timers, onFault }: SqliteOptions): Promise<Backend> {
  let connection: SqliteConnection | undefined;
  try {
    createOwnerOnly(path);
    const database = new Database(path, { timeout: busyTimeoutMs });
    connection = new SqliteConnection(database);
    configure(database);
    const db = new Kysely<PlainTables>({ dialect: new WriteFirstDialect(connection, timers) });
    await migrate(db);
    const expected = await expectedSchema(timers);
    connection.guard({ inspect: (opened) => difference(expected, readSchema(opened)), onFault });
    if (connection.fault !== undefined) throw new Error(connection.fault);
    const mark = new CommitMark(path);
    await mark.prove(() => emptyCommit(db));
    const notices = new Notices(connection, mark, random.uuid());
    connection.tellBy((changed) => notices.write(changed));
    return backend(db, connection, mark, notices);
  } catch (error) {
    connection?.close();
    throw openError(path, error);
  }
}

/** The -wal and -shm files take this file's mode (SQLite, findCreateFileMode). */
function createOwnerOnly(path: string): void {
  const file = openSync(path, 'a', 0o600);
  try {
    fchmodSync(file, 0o600);
  } finally {
    closeSync(file);
  }
}

function configure(database: Database.Database): void {
  database.pragma(`busy_timeout = ${busyTimeoutMs}`);
  database.pragma('journal_mode = WAL');
  // In WAL mode only FULL syncs at each commit (SQLite, "PRAGMA synchronous").
  database.pragma('synchronous = FULL');
  database.pragma('foreign_keys = ON');
  // What the file says must not make SQLite do more than read and write rows. Loading extensions is off unless it is switched on;
  // SQLITE_DBCONFIG_DEFENSIVE cannot be reached through libsql.
  database.pragma('trusted_schema = OFF');
  database.pragma('cell_size_check = ON');
}

/** With a notice that nothing has changed. */
async function emptyCommit(db: Kysely<PlainTables>): Promise<void> {
  await db.transaction().execute((trx) => trx.insertInto('changes').values({ writer: '', changed: '[]' }).execute());
}

function backend(db: Kysely<PlainTables>, connection: SqliteConnection, mark: CommitMark, notices: Notices): Backend {
  return {
    db,
    nowMs: sql<number>`cast(unixepoch('subsec') * 1000 as integer)`,
    write: (work) =>
      db.transaction().execute(async (trx) => {
        const { result, changed } = await work(trx);
        connection.announce(changed);
        return result;
      }),
    fault: () => connection.fault,
    mayHaveChanged: () => mark.moved(),
    changes: () => notices.changes(),
    // The -wal file may stay: SQLite reads it at the next start.
    async close() {
      await db.destroy();
      mark.close();
    },
  };
}

function openError(path: string, error: unknown): StoreOpenError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const text = cause instanceof Error ? cause.message : String(cause);
  const refused =
    /^(E[A-Z]+|SQLITE_(CANTOPEN|READONLY|IOERR|FULL|BUSY|PERM).*)$/.test(code) || text.includes('Unable to open');
  return new StoreOpenError(refused ? 'unwritable' : 'damaged', `${path}: ${text}`, { cause: error });
}
