// One sealed table at work: its rows by their keys, opened after their seals matched and kept in memory, written so that every gateway
// hears of it. A store is this and the queries that only it has.
import type { AliasedRawBuilder, ExpressionBuilder, Kysely, Transaction } from 'kysely';
import type { BridgeError } from '../kernel/errors.js';
import type { KeyRef } from '../model/key.js';
import { ReadCache } from './cache.js';
import type { OfKey, StoreContext } from './context.js';
import { boundedValues, byKey, type Values } from './by-key.js';
import { readerWithParts, replaceParts } from './parts.js';
import type { PlainTables } from './plain-tables.js';
import { changedOne, requireStored, type AnyTables } from './read-back.js';
import { SealedRows } from './sealed-rows.js';
import { parts, type Columns, type Described, type RowOf, type SealedRow } from './table.js';
import type { Write } from './writes.js';

export class SealedTable<C extends Columns, K extends keyof C & string, V extends object> implements OfKey {
  readonly description: Described<C, K, V>;
  /** All columns, for a query of its own: none is endless, since another hand may have written a value that would take this process with it. */
  readonly values: readonly AliasedRawBuilder<unknown, string>[];
  readonly #context: StoreContext;
  readonly #rows: SealedRows<C, V>;
  readonly #cache: ReadCache<V>;
  readonly #read: (key: Values) => Promise<Values | undefined>;

  constructor(context: StoreContext, description: Described<C, K, V>) {
    const { seals, memory, tokens, defaultRegion } = context;
    this.description = description;
    this.#context = context;
    this.values = boundedValues(description.name, { ...description.columns, seal: 'blob' });
    this.#cache = new ReadCache(description.name, memory, (value) => description.bytesOf(value));
    this.#rows = new SealedRows({
      seals,
      table: description,
      world: { tokens, defaultRegion },
      identify: (row) => ({ id: this.idOf(row), region: this.#sealedIn(row) }),
      reread: (row) => this.select(row),
      memory,
    });
    const own = byKey(any(context.db), description.key, (key) => this.#from(context.db).where((eb) => eb.and(key)));
    this.#read =
      description.parts === undefined
        ? async (key) => (await own(key))[0]
        : readerWithParts(any(context.db), own, description, description.parts.table);
    context.caches.push(this.#cache);
    if (description.ofKey) context.ofKey.push(this);
  }

  /** The row's name: its key's values. */
  idOf(key: Pick<RowOf<C>, K>): string {
    return this.description.key.map((column) => String(key[column])).join('/');
  }

  /** What the row means, from memory when it is there. `id` is what `idOf` makes of the key, made in the quickest way: a hit does nothing else. */
  find(id: string, key: Pick<RowOf<C>, K>): Promise<V | undefined> {
    const looking = this.#context.watch.look();
    return looking === undefined ? this.known(id, key) : looking.then(() => this.known(id, key));
  }

  /** The same for who has looked for changes just now. */
  known(id: string, key: Pick<RowOf<C>, K>): Promise<V | undefined> {
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
    const row = await this.#read(key);
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
    write.touch(this.#cache, this.idOf(row));
    const result = await any(write.trx)
      .insertInto(this.description.name)
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (!changedOne(this.description.name, result.numInsertedOrUpdatedRows)) return false;
    await this.#requireStored(write, row, row);
    await this.#replaceParts(write, row);
    return true;
  }

  /** False when the row is not `before` any more, by its version. */
  async replace(write: Write, row: SealedRow<C>, before: SealedRow<C>): Promise<boolean> {
    write.touch(this.#cache, this.idOf(row));
    const result = await any(write.trx)
      .updateTable(this.description.name)
      .set(row)
      .where(this.#is(row))
      .where('version', '=', before.version)
      .executeTakeFirst();
    if (!changedOne(this.description.name, result.numUpdatedRows)) return false;
    await this.#requireStored(write, row, row);
    const described = this.description.parts;
    const same = described?.digestIn(row).equals(described.digestIn(before));
    if (same === false) await this.#replaceParts(write, row);
    return true;
  }

  /** Its seal is not looked at: also a broken row can be removed. False when `only` does not hold for it, or when there is none. */
  async remove(
    write: Write,
    key: Pick<RowOf<C>, K>,
    only: (row: SealedRow<C>) => boolean = () => true,
  ): Promise<boolean> {
    const id = this.idOf(key);
    write.touch(this.#cache, id);
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

  async removeOfKey(write: Write, { region, accountId, keyId }: KeyRef): Promise<void> {
    const owned = { region, account_id: accountId, key_id: keyId };
    const rows = (await this.#from(write.trx)
      .where((eb) => eb.and(owned))
      .execute()) as unknown as SealedRow<C>[];
    for (const row of rows) await this.remove(write, row);
  }

  drop(id: string): void {
    this.#cache.drop(id);
  }

  /** After the row itself, to which they refer. */
  async #replaceParts(write: Write, row: SealedRow<C>): Promise<void> {
    const table = this.description.parts?.table;
    if (table !== undefined) await replaceParts(any(write.trx), table, this.#keyOf(row), row[parts] ?? []);
  }

  async #requireStored(write: Write, key: Pick<RowOf<C>, K>, row: SealedRow<C> | undefined): Promise<void> {
    await requireStored(any(write.trx), this.description.name, this.#keyOf(key), row === undefined ? [] : [row]);
    if (row !== undefined) write.whenCommitted(() => this.#rows.wrote(row));
  }

  #from(db: Kysely<PlainTables> | Transaction<PlainTables>) {
    return any(db).selectFrom(this.description.name).select(this.values);
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

/** The class for a description. */
export type TableAtWork<D> = D extends Described<infer C, infer K, infer V> ? SealedTable<C, K, V> : never;

const any = (db: Kysely<PlainTables> | Transaction<PlainTables>): Kysely<AnyTables> =>
  db as unknown as Kysely<AnyTables>;
