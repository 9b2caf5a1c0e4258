// Reads back what was written, inside the transaction that wrote it: no caller is told of a change that the database did not make.
import type { Kysely } from 'kysely';
import { BridgeError } from '../kernel/errors.js';

/** Tables that are known by their descriptions alone. */
export type AnyTables = Record<string, Record<string, unknown>>;

/** Fails with KMSInternalException, and with it the transaction, unless the rows with these values are `rows`, in the order of `order`. */
export async function requireStored(
  trx: Kysely<AnyTables>,
  table: string,
  values: Readonly<Record<string, unknown>>,
  rows: readonly object[],
  order?: string,
): Promise<void> {
  const stored: readonly object[] = await trx
    .selectFrom(table)
    .selectAll()
    .where((eb) => eb.and(values))
    .$if(order !== undefined, (query) => query.orderBy(order ?? ''))
    .execute();
  const kept = stored.length === rows.length && rows.every((row, n) => sameRow(row, stored[n]));
  if (!kept) throw notKept(table);
}

/** Fails with KMSInternalException unless the statement changed exactly one row, or none: then false. */
export function changedOne(table: string, count: bigint | undefined): boolean {
  if (count === 0n) return false;
  if (count !== 1n) throw notKept(table);
  return true;
}

function sameRow(row: object, found: object | undefined): boolean {
  const columns = new Map<string, unknown>(Object.entries(found ?? {}));
  const wanted = Object.entries(row);
  return columns.size === wanted.length && wanted.every(([name, value]) => sameValue(value, columns.get(name)));
}

const sameValue = (a: unknown, b: unknown): boolean =>
  Buffer.isBuffer(a) ? Buffer.isBuffer(b) && a.equals(b) : a === b;

const notKept = (table: string): BridgeError =>
  new BridgeError('KMSInternalException', undefined, {
    cause: new Error(`the database did not keep what was written to ${table}`),
  });
