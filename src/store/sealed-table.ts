// One sealed table at work: its rows by their keys, opened after their seals matched and kept in memory, written so that every gateway
// hears of it. A store is this and the queries that only it has.
import { sql, type AliasedRawBuilder, type ExpressionBuilder, type Kysely, type Transaction } from 'kysely';
import type { BridgeError } from '../kernel/errors.js';
import type { KeyRef } from '../model/key.js';
import { ReadCache } from './cache.js';
import type { Shared, StoreContext } from './context.js';
import type { PlainTables } from './plain-tables.js';
import { changedOne, requireStored, type AnyTables } from './read-back.js';
import { maxRowBytes, SealedRows } from './sealed-rows.js';
import type { Columns, Described, RowOf, SealedRow } from './table.js';
import type { Write } from './writes.js';

export class SealedTable<C extends Columns, K extends keyof C & string, V extends object> implements Shared {
  readonly description: Described<C, K, V>;
  readonly #context: StoreContext;
  readonly #rows: SealedRows<C, V>;
  readonly #cache: ReadCache<V>;
  readonly #values: readonly AliasedRawBuilder<unknown, string>[];

  constructor(context: StoreContext, description: Described<C, K, V>) {
    const { seals, memory, tokens, defaultRegion } = context;
    this.description = description;
    this.#context = context;
    this.#values = [...Object.entries(description.columns), ['seal', 'blob'] as const].map(bounded);
    this.#cache = new ReadCache(memory, (value) => description.bytesOf(value));
    this.#rows = new SealedRows({
      seals,
      table: description,
      world: { tokens, defaultRegion },
      identify: (row) => ({ id: this.idOf(row), region: this.#sealedIn(row) }),
      reread: (row) => this.select(row),
      memory,
    });
    context.tables.push(this);
  }

  get name(): string {
    return this.description.name;
  }

  /** The row's name: its key's values. */
  idOf(key: Pick<RowOf<C>, K>): string {
    return this.description.key.map((column) => String(key[column])).join('/');
  }

  /** What the row means, from memory when it is there. `id` is what `idOf` makes of the key, made in the quickest way: a hit does nothing else. */
  find(id: string, key: Pick<RowOf<C>, K>): Promise<V | undefined> {
    const looking = this.#context.watch.look();
    return looking === undefined ? this.#known(id, key) : looking.then(() => this.#known(id, key));
  }

  #known(id: string, key: Pick<RowOf<C>, K>): Promise<V | undefined> {
    return (
      this.#cache.get(id) ??
      this.#cache.load(id, async () => {
        const row = await this.select(key);
        return row === undefined ? undefined : this.#rows.open(row);
      })
    );
  }

  /** The row as it is now, unchecked. */
  async select(key: Pick<RowOf<C>, K>): Promise<SealedRow<C> | undefined> {
    const row = await this.#from(this.#context.db).where(this.#is(key)).executeTakeFirst();
    // An index that lies gives another row than was asked for, and a sound one.
    if (row !== undefined && !this.description.key.every((column) => row[column] === key[column]))
      throw this.broken(key);
    return row as SealedRow<C> | undefined;
  }

  /** Notes the row as broken and gives the error its reader gets. */
  broken(key: Pick<RowOf<C>, K>): BridgeError {
    return this.#context.seals.broken(this.description.name, this.idOf(key));
  }

  /** Fails with the integrity error of `RowSeals.broken` when the seal does not match. */
  open(row: SealedRow<C>): Promise<V> {
    return this.#rows.open(row);
  }

  /** As `open`, and the token is asked also for what is remembered. */
  openAfresh(row: SealedRow<C>): Promise<V> {
    return this.#rows.openAfresh(row);
  }

  openAll(rows: readonly SealedRow<C>[]): Promise<V[]> {
    return this.#rows.openAll(rows);
  }

  /** Those whose seal matches. */
  openSound(rows: readonly SealedRow<C>[]): Promise<V[]> {
    return this.#rows.openSound(rows);
  }

  /** Checks the seal alone, and remembers nothing. */
  check(row: SealedRow<C>): Promise<void> {
    return this.#rows.check(row);
  }

  /** Before the transaction that writes it: no lock is held while a token is slow. */
  seal(row: RowOf<C>): Promise<SealedRow<C>> {
    return this.#context.seals.seal(this.#sealedIn(row), this.description, row);
  }

  /** False when its id is taken. */
  async insert(write: Write, row: SealedRow<C>): Promise<boolean> {
    write.touch(this, this.idOf(row));
    const result = await any(write.trx)
      .insertInto(this.description.name)
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (!changedOne(this.description.name, result.numInsertedOrUpdatedRows)) return false;
    await this.#requireStored(write, row, row);
    return true;
  }

  /** False when the row is not of this version any more. */
  async replace(write: Write, row: SealedRow<C>, version: number): Promise<boolean> {
    write.touch(this, this.idOf(row));
    const result = await any(write.trx)
      .updateTable(this.description.name)
      .set(row)
      .where(this.#is(row))
      .where('version', '=', version)
      .executeTakeFirst();
    if (!changedOne(this.description.name, result.numUpdatedRows)) return false;
    await this.#requireStored(write, row, row);
    return true;
  }

  /** Its seal is not looked at: also a broken row can be removed. False when `only` does not hold for it, or when there is none. */
  async remove(
    write: Write,
    key: Pick<RowOf<C>, K>,
    only: (row: SealedRow<C>) => boolean = () => true,
  ): Promise<boolean> {
    const id = this.idOf(key);
    write.touch(this, id);
    const row = (await this.#from(write.trx).where(this.#is(key)).executeTakeFirst()) as SealedRow<C> | undefined;
    if (row === undefined || !only(row)) return false;
    const result = await any(write.trx)
      .deleteFrom(this.description.name)
      .where(this.#is(key))
      .where('version', '=', row.version)
      .executeTakeFirst();
    if (!changedOne(this.description.name, result.numDeletedRows)) return false;
    await this.#requireStored(write, key, undefined);
    write.whenCommitted(() => this.#rows.removed(id, row.created_at_ms));
    return true;
  }

  /** All rows that belong to the key; none when this is no table of such rows. */
  async removeOfKey(write: Write, { region, accountId, keyId }: KeyRef): Promise<void> {
    if (!this.description.ofKey) return;
    const owned = { region, account_id: accountId, key_id: keyId };
    const rows = (await this.#from(write.trx)
      .where((eb) => eb.and(owned))
      .execute()) as unknown as SealedRow<C>[];
    for (const row of rows) await this.remove(write, row);
  }

  /** Another number after each change: what was derived from the rows before is out of date. */
  get generation(): number {
    return this.#cache.generation;
  }

  get reads(): number {
    return this.#cache.reads;
  }

  drop(id: string): void {
    this.#cache.drop(id);
  }

  clear(): void {
    this.#cache.clear();
  }

  async #requireStored(write: Write, key: Pick<RowOf<C>, K>, row: SealedRow<C> | undefined): Promise<void> {
    await requireStored(any(write.trx), this.description.name, this.#keyOf(key), row);
    if (row !== undefined) write.whenCommitted(() => this.#rows.wrote(row));
  }

  /** All columns, none of them endless: another hand may have written a value of a gigabyte, which would take this process with it. */
  #from(db: Kysely<PlainTables> | Transaction<PlainTables>) {
    return any(db).selectFrom(this.description.name).select(this.#values);
  }

  #keyOf(key: Pick<RowOf<C>, K>): Readonly<Record<string, unknown>> {
    return Object.fromEntries(this.description.key.map((column) => [column, key[column]]));
  }

  #is(key: Pick<RowOf<C>, K>) {
    return (eb: ExpressionBuilder<AnyTables, string>) =>
      eb.and(Object.entries(this.#keyOf(key)).map(([column, value]) => eb(column, '=', value)));
  }

  #sealedIn(row: RowOf<C>): string {
    return this.description.sealedIn === 'its Region' ? String(row['region']) : this.#context.defaultRegion;
  }
}

/** No row of ours has a longer value: in its place comes one that its seal does not match. */
function bounded([name, kind]: readonly [name: string, column: string]): AliasedRawBuilder<unknown, string> {
  const column = sql.ref(name);
  if (kind.startsWith('integer')) return sql`${column}`.as(name);
  const instead = kind.startsWith('text') ? sql.lit('') : sql.lit(null);
  return sql`case when octet_length(${column}) > ${sql.lit(maxRowBytes)} then ${instead} else ${column} end`.as(name);
}

/** The class for a description. */
export type TableAtWork<D> = D extends Described<infer C, infer K, infer V> ? SealedTable<C, K, V> : never;

const any = (db: Kysely<PlainTables> | Transaction<PlainTables>): Kysely<AnyTables> =>
  db as unknown as Kysely<AnyTables>;
