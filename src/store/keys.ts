// Keys: one sealed row each and the index of their backing keys, written together. What is returned has passed its seal.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, type Key, type KeyRef } from '../model/key.js';
import type { AccountScope, KeyStore, Page } from '../ports/store.js';
import { aliasId } from './aliases.js';
import { keyBytes, writeAttempts, type StoreContext } from './context.js';
import { keyColumns, keyId, keyOf, materialIndex } from './key-row.js';
import { KeyUpkeep } from './key-upkeep.js';
import { changedOne, requireStored } from './read-back.js';
import { SealedRows } from './seal.js';
import type { KeyRow } from './tables.js';
import { Turns } from './turns.js';

export class KeyRows implements KeyStore {
  readonly #context: StoreContext;
  readonly #rows: SealedRows<'keys', Key>;
  readonly #turns = new Turns();
  readonly #upkeep: KeyUpkeep;

  constructor(context: StoreContext) {
    this.#context = context;
    this.#rows = new SealedRows({
      seals: context.seals,
      table: 'keys',
      identify: (row) => ({ id: `${row.region}/${row.account_id}/${row.key_id}`, region: row.region }),
      decode: keyOf,
      reread: (row) => this.#select({ region: row.region, accountId: row.account_id, keyId: row.key_id }),
      memory: context.caches.memory,
      sizeOf: keyBytes,
    });
    this.#upkeep = new KeyUpkeep(context, this.#rows, (ref) => this.#select(ref));
  }

  find(ref: KeyRef): Promise<Key | undefined> {
    const { caches, watch } = this.#context;
    watch.look();
    const id = keyId(ref);
    return (
      caches.keys.get(id) ??
      caches.keys.load(id, async () => {
        const row = await this.#select(ref);
        return row === undefined ? undefined : this.#rows.open(row);
      })
    );
  }

  async findByMaterial(region: string, ckaId: string, accountId?: string): Promise<Key | undefined> {
    const { caches, watch } = this.#context;
    watch.look();
    const id = materialId(region, ckaId, accountId);
    const known =
      caches.materials.get(id) ?? caches.materials.load(id, () => this.#ownByMaterial(region, ckaId, accountId));
    return (await known) ?? undefined;
  }

  /** Past all that is remembered. `standIn` is opened where there is no row, so that it costs the same. */
  async findAfresh(ref: KeyRef, standIn: KeyRow): Promise<Key> {
    return this.#rows.openAfresh((await this.#select(ref)) ?? standIn);
  }

  /** As above. */
  async findByMaterialAfresh(region: string, ckaId: string, standIn: KeyRow): Promise<Key> {
    const row = await this.#selectByMaterial(region, ckaId);
    const key = await this.#rows.openAfresh(row ?? standIn);
    if (row !== undefined) this.#requireIndexed(key, ckaId);
    return key;
  }

  /** The status that hides unfinished keys is read without its seal: nothing is decided by it. */
  async list(scope: AccountScope, page: Page): Promise<readonly string[]> {
    const rows = await this.#context.db
      .selectFrom('keys')
      .select('key_id')
      .where('region', '=', scope.region)
      .where('account_id', '=', scope.accountId)
      .where('status', '!=', 'creating')
      .$if(page.after !== undefined, (query) => query.where('key_id', '>', page.after ?? ''))
      .orderBy('key_id')
      .limit(page.limit)
      .execute();
    return rows.map((row) => row.key_id);
  }

  /** With the keys that are being created: they count against a limit too. */
  async count(scope: AccountScope): Promise<number> {
    const row = await this.#context.db
      .selectFrom('keys')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('region', '=', scope.region)
      .where('account_id', '=', scope.accountId)
      .executeTakeFirstOrThrow();
    return row.count;
  }

  /** KMSInternalException when the key or one of its backing keys is there already. */
  async insert(key: Key): Promise<void> {
    const { db, seals } = this.#context;
    const row = await seals.seal(key.region, 'keys', keyColumns(key, 1));
    try {
      await db.transaction().execute(async (trx) => {
        await trx.insertInto('keys').values(row).execute();
        await requireStored(trx, 'keys', ownedBy(key), row);
        const materials = materialRows(key);
        if (materials.length > 0) await trx.insertInto('materials').values(materials).execute();
      });
      this.#rows.wrote(row);
    } finally {
      this.#drop(key, indexesOf(key));
    }
  }

  update(ref: KeyRef, change: (key: Key) => Key): Promise<Key> {
    return this.#turns.take(keyId(ref), async () => {
      for (let attempt = 0; attempt < writeAttempts; attempt++) {
        const row = await this.#select(ref);
        if (row === undefined) throw new BridgeError('NotFoundException', `Key '${arnOfKey(ref)}' does not exist`);
        const written = await this.#replace(row, change);
        if (written !== undefined) return written;
      }
      throw new BridgeError('KMSInternalException');
    });
  }

  async remove(ref: KeyRef): Promise<void> {
    const { db, caches } = this.#context;
    const owned = ownedBy(ref);
    try {
      const gone = await db.transaction().execute(async (trx) => {
        const key = await trx
          .selectFrom('keys')
          .select('created_at_ms')
          .where((eb) => eb.and(owned))
          .executeTakeFirst();
        const materials = await trx
          .selectFrom('materials')
          .select('cka_id')
          .where((eb) => eb.and(owned))
          .execute();
        const aliases = await trx
          .selectFrom('aliases')
          .select('alias_name')
          .where((eb) => eb.and(owned))
          .execute();
        await trx
          .deleteFrom('aliases')
          .where((eb) => eb.and(owned))
          .execute();
        await trx
          .deleteFrom('materials')
          .where((eb) => eb.and(owned))
          .execute();
        await trx
          .deleteFrom('keys')
          .where((eb) => eb.and(owned))
          .execute();
        await requireStored(trx, 'keys', owned, undefined);
        return { key, indexes: materials.map((row) => row.cka_id), aliases };
      });
      if (gone.key !== undefined) this.#rows.removed(keyId(ref), gone.key.created_at_ms);
      this.#drop(ref, gone.indexes);
      for (const alias of gone.aliases) caches.aliases.drop(aliasId(ref, alias.alias_name));
    } catch (error) {
      // After a failed commit nobody knows what is in the database, nor what to drop.
      caches.clear();
      throw error;
    }
  }

  due(region: string, nowMs: number): AsyncIterable<Key> {
    return this.#upkeep.due(region, nowMs);
  }

  unsettled(region: string, isAbandoned: (incarnation: number) => boolean): AsyncIterable<Key> {
    return this.#upkeep.unsettled(region, isAbandoned);
  }

  materials(region: string): AsyncIterable<readonly string[]> {
    return this.#upkeep.materials(region);
  }

  named(region: string, ckaIds: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#upkeep.named(region, ckaIds);
  }

  owners(region: string, ckaIds: Iterable<string>): AsyncIterable<Key> {
    return this.#upkeep.owners(region, ckaIds);
  }

  withoutMaterial(region: string): AsyncIterable<Key> {
    return this.#upkeep.withoutMaterial(region);
  }

  checkSeals(region: string): AsyncIterable<number> {
    return this.#upkeep.checkSeals(region);
  }

  async #select(ref: KeyRef): Promise<KeyRow | undefined> {
    const { db, seals } = this.#context;
    const row = await db
      .selectFrom('keys')
      .selectAll()
      .where('region', '=', ref.region)
      .where('account_id', '=', ref.accountId)
      .where('key_id', '=', ref.keyId)
      .executeTakeFirst();
    // An index that lies gives another row than was asked for, and a sound one.
    if (
      row !== undefined &&
      (row.region !== ref.region || row.account_id !== ref.accountId || row.key_id !== ref.keyId)
    )
      throw seals.broken('keys', keyId(ref));
    return row;
  }

  /** Null, which is kept, when an account was named and it is not its own. */
  async #ownByMaterial(region: string, ckaId: string, accountId?: string): Promise<Key | null | undefined> {
    const row = await this.#selectByMaterial(region, ckaId, accountId);
    if (row === undefined) return accountId === undefined ? undefined : null;
    const key = await this.#rows.open(row);
    this.#requireIndexed(key, ckaId);
    return key;
  }

  /** One query, so that the index and the key are of the same moment. */
  #selectByMaterial(region: string, ckaId: string, accountId?: string): Promise<KeyRow | undefined> {
    return this.#context.db
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

  /** Undefined when another writer came first. */
  async #replace(row: KeyRow, change: (key: Key) => Key): Promise<Key | undefined> {
    const { db, seals } = this.#context;
    const before = await this.#rows.open(row);
    const after = change(before);
    if (keyId(after) !== keyId(before)) throw new TypeError('a key keeps its Region, account and id');
    const sealed = await seals.seal(after.region, 'keys', keyColumns(after, row.version + 1));
    const removed = indexesOf(before).filter((index) => !indexesOf(after).includes(index));
    const added = materialRows(after).filter((material) => !indexesOf(before).includes(material.cka_id));
    const owned = ownedBy(before);
    try {
      const written = await db.transaction().execute(async (trx) => {
        const result = await trx
          .updateTable('keys')
          .set(sealed)
          .where((eb) => eb.and(owned))
          .where('version', '=', row.version)
          .executeTakeFirst();
        if (!changedOne('keys', result.numUpdatedRows)) return false;
        await requireStored(trx, 'keys', owned, sealed);
        if (removed.length > 0) {
          await trx
            .deleteFrom('materials')
            .where((eb) => eb.and(owned))
            .where('cka_id', 'in', removed)
            .execute();
        }
        // The row is sealed and the index is not: an entry that is there already, of a row that was put back, follows the row.
        const { account_id, key_id } = owned;
        if (added.length > 0) {
          await trx
            .insertInto('materials')
            .values(added)
            .onConflict((entry) => entry.columns(['region', 'cka_id']).doUpdateSet({ account_id, key_id }))
            .execute();
        }
        return true;
      });
      if (!written) return undefined;
      this.#rows.wrote(sealed);
      return keyOf(sealed);
    } finally {
      this.#drop(after, [...indexesOf(before), ...indexesOf(after)]);
    }
  }

  #drop(ref: KeyRef, indexes: readonly string[]): void {
    const { caches } = this.#context;
    caches.keys.drop(keyId(ref));
    for (const index of indexes) {
      caches.materials.drop(materialId(ref.region, index));
      caches.materials.drop(materialId(ref.region, index, ref.accountId));
    }
  }
}

const materialId = (region: string, ckaId: string, accountId?: string): string =>
  accountId === undefined ? `${region}/${ckaId}` : `${region}/${accountId}/${ckaId}`;

const ownedBy = (ref: KeyRef) => ({ region: ref.region, account_id: ref.accountId, key_id: ref.keyId });

const indexesOf = (key: Key): string[] => key.backingKeys.map((backingKey) => materialIndex(backingKey));

const materialRows = (key: Key) =>
  indexesOf(key).map((ckaId) => ({ region: key.region, cka_id: ckaId, account_id: key.accountId, key_id: key.keyId }));
