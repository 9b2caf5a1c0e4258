// Rows that are sealed with another one, their owner, which holds a digest of them all. They are written in its transaction, and read as they
// are under one version of it.
import { hash } from 'node:crypto';
import type { Kysely } from 'kysely';
import { BridgeError } from '../kernel/errors.js';
import { prefixed } from '../kernel/length-prefix.js';
import { boundedValues, byKey, type ByKey, type Values } from './by-key.js';
import { requireStored, type AnyTables } from './read-back.js';
import { encodeRow } from './seal.js';
import {
  parts,
  type AnyColumns,
  type Columns,
  type Covered,
  type Described,
  type PartTable,
  type RowOf,
} from './table.js';

type PartRow = RowOf<AnyColumns>;

/** Of one owner. A row to which another hand gave more is not read to its end. */
const maxParts = 1_000;
const ownerVersion = 'owner_version';
/** Who writes the owner again and again must not keep its readers for ever. */
const readAttempts = 10;

/** SHA-256 over the encodings of the rows, each behind its length, in their order: 32 bytes. TypeError as from `encodeRow`. */
export const digestOf = <C extends AnyColumns>(
  table: Pick<Covered<C>, 'name' | 'columns'>,
  rows: readonly RowOf<C>[],
) => hash('sha256', prefixed(...rows.map((row) => encodeRow(table, row))), 'buffer');

/** Whether the row's parts are those that it is sealed with. TypeError when a value is not of its column's kind. */
export function hasItsParts<C extends Columns>({ parts: described }: Described<C>, row: RowOf<C>): boolean {
  if (described === undefined) return true;
  const rows = row[parts] ?? [];
  return rows.length <= maxParts && digestOf(described.table, rows).equals(described.digestIn(row));
}

/**
 * Reads the owner with a primary key, by `own`, and its parts. Two queries, since an owner may be large and its parts many; both are made again when the
 * owner was replaced between them, which is no other hand's work. As many where there is none.
 */
export function readerWithParts(
  db: Kysely<AnyTables>,
  own: ByKey,
  owner: Covered,
  table: PartTable,
): (key: Values) => Promise<Values | undefined> {
  const found = partsReader(db, owner, table);
  return async (key) => {
    for (let attempt = 0; attempt < readAttempts; attempt++) {
      const [row] = await own(key);
      const rows = await found(key);
      if (row?.['version'] !== rows[0]?.[ownerVersion]) continue;
      return row && { ...row, [parts]: rows.filter((part) => part[table.order] !== null) as PartRow[] };
    }
    throw new BridgeError('KMSInternalException', undefined, {
      cause: new Error(`a row of ${owner.name} changed at each look`),
    });
  };
}

/** In their order, each with the version that their owner has at that moment; that alone when it has none. */
const partsReader = (db: Kysely<AnyTables>, owner: Covered, table: PartTable): ByKey =>
  byKey(db, owner.key, (key) =>
    db
      .selectFrom(owner.name)
      .leftJoin(table.name, (join) =>
        owner.key.reduce((on, column) => on.onRef(`${table.name}.${column}`, '=', `${owner.name}.${column}`), join),
      )
      .select(`${owner.name}.version as ${ownerVersion}`)
      .select(boundedValues(table.name, table.columns))
      .where((eb) => eb.and(Object.entries(key).map(([column, value]) => eb(`${owner.name}.${column}`, '=', value))))
      .orderBy(`${table.name}.${table.order}`)
      .limit(maxParts + 1),
  );

/** `rows` instead of those that the owner with this primary key had. */
export async function replaceParts(
  trx: Kysely<AnyTables>,
  { name, order }: PartTable,
  key: Values,
  rows: readonly PartRow[],
): Promise<void> {
  if (rows.length > maxParts) throw new RangeError(`a row has ${maxParts} rows of ${name} at most`);
  await trx
    .deleteFrom(name)
    .where((eb) => eb.and(key))
    .execute();
  if (rows.length > 0)
    await trx
      .insertInto(name)
      .values([...rows])
      .execute();
  await requireStored(trx, name, key, rows, order);
}
