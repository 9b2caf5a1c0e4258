// Keys: one sealed row each, and with it those of its backing keys, written together. What is returned has passed its seal.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, type Key, type KeyRef } from '../model/key.js';
import { isDefault, isSameKeyStore, type KeyStoreRef } from '../model/key-store.js';
import type { AccountScope, KeyRowStore, Lease, MaterialPlace, Page } from '../ports/store.js';
import { backingKeys, owns, Owners } from './backing-keys.js';
import { writeAttempts, type StoreContext } from './context.js';
import { keyColumns, keyId, keyKey, keyOf, keys, type KeyRow, type KeyTables } from './key-row.js';
import { KeyUpkeep } from './key-upkeep.js';
import { SealedTable, type TableAtWork } from './sealed-table.js';
import { Turns } from './turns.js';

export class KeyRows implements KeyRowStore {
  readonly #context: StoreContext;
  readonly #table: TableAtWork<typeof keys>;
  readonly #owners: Owners;
  readonly #turns = new Turns();
  readonly #upkeep: KeyUpkeep;

  constructor(context: StoreContext) {
    this.#context = context;
    this.#table = new SealedTable(context, keys);
    this.#owners = new Owners(context);
    this.#upkeep = new KeyUpkeep(context, this.#table);
  }

  find(ref: KeyRef): Promise<Key | undefined> {
    return this.#table.find(keyId(ref), keyKey(ref));
  }

  async findByMaterial(region: string, ckaId: string, accountId?: string): Promise<Key | undefined> {
    const looking = this.#context.watch.look();
    if (looking !== undefined) await looking;
    const owner = await this.#owners.known(region, ckaId, accountId);
    if (owner === undefined || owner === null) return undefined;
    const key = await this.#table.known(owner.id, owner.key);
    if (key === undefined || owns(key, ckaId)) return key;
    // They were read one after the other: what both say now counts.
    const now = await this.#owners.select(region, ckaId, accountId);
    const row = now && (await this.#table.select(now.key));
    return row && this.#named(await this.#table.open(row), ckaId);
  }

  /** Past all that is remembered. `standIn` is opened where there is no row, so that it costs the same. */
  async findAfresh(ref: KeyRef, standIn: KeyRow): Promise<Key> {
    return this.#table.openAfresh((await this.#table.select(keyKey(ref))) ?? standIn);
  }

  /** As above. */
  async findByMaterialAfresh(region: string, ckaId: string, standIn: KeyRow): Promise<Key> {
    const owner = await this.#owners.select(region, ckaId);
    const row = await this.#table.select(owner?.key ?? standIn);
    const key = await this.#table.openAfresh(row ?? standIn);
    return row === undefined ? key : this.#named(key, ckaId);
  }

  /** An index that lies gives another key than was asked for, and a sound one. */
  #named(key: Key, ckaId: string): Key {
    if (owns(key, ckaId)) return key;
    throw this.#context.seals.broken(backingKeys.name, `${key.region}/${ckaId}`);
  }

  /** The status that hides unfinished keys is read without its seal: nothing is decided by it. */
  async list(scope: AccountScope, page: Page): Promise<readonly string[]> {
    const rows = await this.#keys
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
    const row = await this.#keys
      .selectFrom('keys')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('region', '=', scope.region)
      .where('account_id', '=', scope.accountId)
      .executeTakeFirstOrThrow();
    return row.count;
  }

  /** KMSInternalException when the key or one of its backing keys is there already. */
  async insert(key: Key): Promise<void> {
    // A row may name another token only once that can be told from all others. The default one's are there since it seals.
    if (!isDefault(key)) await this.#context.daemonKeys.ensure(key);
    const row = await this.#table.seal(keyColumns(key, 1));
    await this.#context.writes.run(async (write) => {
      await this.#context.lives.ensure(write, key.life);
      if (!(await this.#table.insert(write, row))) throw new BridgeError('KMSInternalException');
      this.#owners.touch(write, key, [], key.backingKeys);
    });
  }

  update(ref: KeyRef, change: (key: Key) => Key, lease?: Lease): Promise<Key> {
    return this.#turns.take(keyId(ref), async () => {
      for (let attempt = 0; attempt < writeAttempts; attempt++) {
        const row = await this.#table.select(keyKey(ref));
        if (row === undefined) throw new BridgeError('NotFoundException', `Key '${arnOfKey(ref)}' does not exist`);
        const written = await this.#replace(row, change, lease);
        if (written !== undefined) return written;
      }
      throw new BridgeError('KMSInternalException');
    });
  }

  remove(ref: KeyRef, lease?: Lease): Promise<void> {
    return this.#remove(ref, () => true, lease);
  }

  removeUnfinished(key: Key, lease?: Lease): Promise<void> {
    const isUnfinished = (row: KeyRow): boolean => {
      if (row.status === 'creating' && row.pending_material_id === key.pendingMaterialId) return true;
      throw new BridgeError('KMSInternalException', undefined, { cause: new Error('the key has been finished') });
    };
    return this.#remove(key, isUnfinished, lease);
  }

  due(keyStore: KeyStoreRef, nowMs: number): AsyncIterable<Key> {
    return this.#upkeep.due(keyStore, nowMs);
  }

  unsettled(keyStore: KeyStoreRef, which: 'all' | 'abandoned'): AsyncIterable<Key> {
    return this.#upkeep.unsettled(keyStore, which);
  }

  materials(region: string): AsyncIterable<readonly MaterialPlace[]> {
    return this.#upkeep.materials(region);
  }

  named(keyStore: KeyStoreRef, ckaIds: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#upkeep.named(keyStore, ckaIds);
  }

  owners(keyStore: KeyStoreRef, ckaIds: Iterable<string>): AsyncIterable<Key> {
    return this.#upkeep.owners(keyStore, ckaIds);
  }

  withoutMaterial(keyStore: KeyStoreRef): AsyncIterable<Key> {
    return this.#upkeep.withoutMaterial(keyStore);
  }

  checkSeals(region: string): AsyncIterable<number> {
    return this.#upkeep.checkSeals(region);
  }

  async #remove(ref: KeyRef, only: (row: KeyRow) => boolean, lease: Lease | undefined): Promise<void> {
    await this.#context.writes.run(async (write) => {
      if (lease !== undefined) await this.#context.leases.require(write, lease);
      for (const table of this.#context.ofKey) await table.removeOfKey(write, ref);
      await this.#table.remove(write, keyKey(ref), only);
    });
  }

  /** Undefined when another writer came first. */
  async #replace(row: KeyRow, change: (key: Key) => Key, lease: Lease | undefined): Promise<Key | undefined> {
    const before = await this.#table.open(row);
    const after = change(before);
    if (keyId(after) !== keyId(before) || !isSameKeyStore(after, before))
      throw new TypeError('a key keeps its Region, account, id and key store');
    const sealed = await this.#table.seal(keyColumns(after, row.version + 1));
    const written = await this.#context.writes.run(async (write) => {
      if (lease !== undefined) await this.#context.leases.require(write, lease);
      await this.#context.lives.ensure(write, after.life);
      if (!(await this.#table.replace(write, sealed, row))) return false;
      this.#owners.touch(write, after, before.backingKeys, after.backingKeys);
      return true;
    });
    return written ? keyOf(sealed) : undefined;
  }

  get #keys() {
    return this.#context.db.withTables<KeyTables>();
  }
}
