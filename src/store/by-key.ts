// Reads by a primary key, built once for each table: to build one takes longer than to run it.
import { sql, type AliasedRawBuilder, type Compilable, type Kysely } from 'kysely';
import type { AnyTables } from './read-back.js';
import type { AnyColumns } from './table.js';

/** No row of ours is larger: a policy, a description and tags at their limits make about 140 KiB. A token client takes more than this. */
export const maxRowBytes = 200 * 1024;

export type Values = Readonly<Record<string, unknown>>;
export type ByKey = (key: Values) => Promise<readonly Values[]>;

/** `build` makes the query for a key; the key's values, in the order of `columns`, must be the first that stand in it. */
export function byKey(
  db: Kysely<AnyTables>,
  columns: readonly string[],
  build: (key: Values) => Compilable<Values>,
): ByKey {
  const compiled = build(Object.fromEntries(columns.map((column) => [column, '']))).compile();
  const others = compiled.parameters.slice(columns.length);
  return async (key) => {
    const parameters = [...columns.map((column) => key[column]), ...others];
    return (await db.executeQuery<Values>({ ...compiled, parameters })).rows;
  };
}

/** The columns, none of them endless: another hand may have written a value of a gigabyte. In its place comes one that no seal matches. */
export const boundedValues = (table: string, columns: AnyColumns): AliasedRawBuilder<unknown, string>[] =>
  Object.entries(columns).map(([name, kind]) => {
    const column = sql.ref(`${table}.${name}`);
    if (kind.startsWith('integer')) return sql`${column}`.as(name);
    const instead = kind.startsWith('text') ? sql.lit('') : sql.lit(null);
    return sql`case when octet_length(${column}) > ${sql.lit(maxRowBytes)} then ${instead} else ${column} end`.as(name);
  });
