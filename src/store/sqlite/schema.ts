// Whether the schema is the one that this version makes. A trigger, a view, another constraint or index could make a sealed row stay as it
// was while the writer is told that it changed: with anything foreign in the schema, nothing is read or written.
import Database from 'libsql';
import { DEFAULT_MIGRATION_TABLE, Kysely, Migrator, sql, type SqliteDatabase } from 'kysely';
import type { Timers } from '../../kernel/timers.js';
import type { ColumnTypes } from '../migrations.js';
import type { PlainTables } from '../plain-tables.js';
import { migrations } from '../tables.js';
import { SqliteConnection } from './connection.js';
import { WriteFirstDialect } from './dialect.js';

/** STRICT: a column refuses a value of another type instead of keeping it. */
const columnTypes: ColumnTypes = {
  integer: sql`integer`,
  blob: sql`blob`,
  sequence: sql`integer`,
  tableEnd: sql`strict`,
};

interface Entry {
  readonly type: string;
  readonly name: string;
  readonly tbl_name: string;
  readonly rootpage: number;
  /** Null: an index that a PRIMARY KEY brings. */
  readonly sql: string | null;
}

export type Schema = ReadonlyMap<string, Entry>;

export async function migrate(db: Kysely<PlainTables>): Promise<void> {
  const all = migrations(columnTypes);
  if (await areDone(db, Object.keys(all))) return;
  const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve(all) } });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error instanceof Error ? error : new Error('the migrations failed', { cause: error });
}

/** The migrator asks the same and looks at the whole schema first, which takes thirty times as long: most of what opening costs. */
async function areDone(db: Kysely<PlainTables>, names: readonly string[]): Promise<boolean> {
  try {
    const { rows } = await sql<{
      readonly name: string;
    }>`select name from ${sql.table(DEFAULT_MIGRATION_TABLE)} order by name`.execute(db);
    return rows.length === names.length && rows.every(({ name }, at) => name === names[at]);
  } catch {
    // A new file has no such table; what else is wrong the migrator says.
    return false;
  }
}

export function readSchema(database: Pick<SqliteDatabase, 'prepare'>): Schema {
  const rows = database
    .prepare('select type, name, tbl_name, rootpage, sql from main.sqlite_schema')
    .all([]) as Entry[];
  return new Map(rows.map((row) => [`${row.type} ${row.name}`, row]));
}

let expected: Promise<Schema> | undefined;

/** What the migrations make of an empty database. */
export function expectedSchema(timers: Timers): Promise<Schema> {
  expected ??= makeSchema(timers);
  return expected;
}

async function makeSchema(timers: Timers): Promise<Schema> {
  const connection = new SqliteConnection(new Database(':memory:'));
  await migrate(new Kysely<PlainTables>({ dialect: new WriteFirstDialect(connection, timers) }));
  const schema = readSchema(connection);
  connection.close();
  return schema;
}

/** The first difference, in words; undefined when there is none. */
export function difference(from: Schema, found: Schema): string | undefined {
  const roots = new Set<number>();
  for (const [id, { tbl_name, rootpage, sql: text }] of found) {
    const made = from.get(id);
    if (made === undefined) return `it has a ${id} that this version does not make`;
    if (made.sql !== text || made.tbl_name !== tbl_name) return `its ${id} is not the one that this version makes`;
    // Two that share their pages would read each other's rows.
    if (roots.has(rootpage)) return `its ${id} has no pages of its own`;
    roots.add(rootpage);
  }
  const missing = [...from.keys()].find((id) => !found.has(id));
  return missing === undefined ? undefined : `it lacks the ${missing}`;
}
