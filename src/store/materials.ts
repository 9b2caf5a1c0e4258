// The index of backing keys: which key owns the object with a CKA_ID. It has no seal: a key found through it is believed only when its own
// sealed row names that backing key.
import type { Key, KeyRef } from '../model/key.js';
import { ReadCache } from './cache.js';
import type { Shared, StoreContext } from './context.js';
import { keyBytes, keyKey, materialIndex, type keys, type KeyRow, type KeyTables } from './key-row.js';
import type { TableAtWork } from './sealed-table.js';
import type { Write } from './writes.js';

export class Materials implements Shared {
  readonly name = 'materials';
  readonly #context: StoreContext;
  readonly #keys: TableAtWork<typeof keys>;
  /** By Region and CKA_ID, and by Region, account and CKA_ID; null: it is not that account's. */
  readonly #cache: ReadCache<Key | null>;

  constructor(context: StoreContext, keyTable: TableAtWork<typeof keys>) {
    this.#context = context;
    this.#keys = keyTable;
    this.#cache = new ReadCache(context.memory, (key) => (key === null ? 0 : keyBytes(key)));
    context.tables.push(this);
  }

  async find(region: string, ckaId: string, accountId?: string): Promise<Key | undefined> {
    await this.#context.watch.look();
    const id = materialId(region, ckaId, accountId);
    const known = this.#cache.get(id) ?? this.#cache.load(id, () => this.#own(region, ckaId, accountId));
    return (await known) ?? undefined;
  }

  /** Past all that is remembered. `standIn` is opened where there is no row, so that it costs the same. */
  async findAfresh(region: string, ckaId: string, standIn: KeyRow): Promise<Key> {
    const row = await this.#select(region, ckaId);
    const key = await this.#keys.openAfresh(row ?? standIn);
    if (row !== undefined) this.#requireIndexed(key, ckaId);
    return key;
  }

  async insert(write: Write, key: Key): Promise<void> {
    this.#touch(write, key, indexesOf(key));
    const rows = rowsOf(key, indexesOf(key));
    if (rows.length > 0) await write.trx.insertInto('materials').values(rows).execute();
  }

  async replace(write: Write, before: Key, after: Key): Promise<void> {
    const [old, now] = [indexesOf(before), indexesOf(after)];
    this.#touch(write, after, [...old, ...now]);
    const removed = old.filter((index) => !now.includes(index));
    if (removed.length > 0) {
      await write.trx
        .deleteFrom('materials')
        .where((eb) => eb.and(keyKey(before)))
        .where('cka_id', 'in', removed)
        .execute();
    }
    const added = now.filter((index) => !old.includes(index));
    if (added.length === 0) return;
    // The row is sealed and the index is not: an entry that is there already, of a row that was put back, follows the row.
    const { account_id, key_id } = keyKey(after);
    await write.trx
      .insertInto('materials')
      .values(rowsOf(after, added))
      .onConflict((entry) => entry.columns(['region', 'cka_id']).doUpdateSet({ account_id, key_id }))
      .execute();
  }

  async removeOfKey(write: Write, ref: KeyRef): Promise<void> {
    const owned = keyKey(ref);
    const rows = await write.trx
      .selectFrom('materials')
      .select('cka_id')
      .where((eb) => eb.and(owned))
      .execute();
    this.#touch(
      write,
      ref,
      rows.map((row) => row.cka_id),
    );
    await write.trx
      .deleteFrom('materials')
      .where((eb) => eb.and(owned))
      .execute();
  }

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

  #touch(write: Write, { region, accountId }: KeyRef, indexes: readonly string[]): void {
    for (const index of indexes) {
      write.touch(this, materialId(region, index));
      write.touch(this, materialId(region, index, accountId));
    }
  }

  /** Null, which is kept, when an account was named and it is not its own. */
  async #own(region: string, ckaId: string, accountId?: string): Promise<Key | null | undefined> {
    const row = await this.#select(region, ckaId, accountId);
    if (row === undefined) return accountId === undefined ? undefined : null;
    const key = await this.#keys.open(row);
    this.#requireIndexed(key, ckaId);
    return key;
  }

  /** One query, so that the index and the key are of the same moment. */
  #select(region: string, ckaId: string, accountId?: string): Promise<KeyRow | undefined> {
    return this.#context.db
      .withTables<KeyTables>()
      .selectFrom('keys')
      .innerJoin('materials', (join) =>
        join
          .onRef('materials.region', '=', 'keys.region')
          .onRef('materials.account_id', '=', 'keys.account_id')
          .onRef('materials.key_id', '=', 'keys.key_id'),
      )
      .selectAll('keys')
      .where('materials.region', '=', region)
      .where('materials.cka_id', '=', ckaId)
      .$if(accountId !== undefined, (query) => query.where('materials.account_id', '=', accountId ?? ''))
      .executeTakeFirst();
  }

  #requireIndexed(key: Key, ckaId: string): void {
    if (!indexesOf(key).includes(ckaId)) throw this.#context.seals.broken('materials', `${key.region}/${ckaId}`);
  }
}

const materialId = (region: string, ckaId: string, accountId?: string): string =>
  accountId === undefined ? `${region}/${ckaId}` : `${region}/${accountId}/${ckaId}`;

const indexesOf = (key: Key): string[] => key.backingKeys.map((backingKey) => materialIndex(backingKey));

const rowsOf = (ref: KeyRef, indexes: readonly string[]) => indexes.map((cka_id) => ({ ...keyKey(ref), cka_id }));
