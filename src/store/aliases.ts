// Aliases: one sealed row each, of the key's Region. An alias never outlives its key.
import type { Kysely } from 'kysely';
import { aliasArn } from '../kernel/arn.js';
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, type Alias, type KeyRef } from '../model/key.js';
import type { AccountScope, AliasStore, Page } from '../ports/store.js';
import { smallRowBytes, writeAttempts, type StoreContext } from './context.js';
import { changedOne, requireStored } from './read-back.js';
import { SealedRows } from './seal.js';
import type { AliasRow, SealedColumns, Tables } from './tables.js';
import { Turns } from './turns.js';

export const aliasId = (scope: AccountScope, aliasName: string): string =>
  `${scope.region}/${scope.accountId}/${aliasName}`;

export class AliasRows implements AliasStore {
  readonly #context: StoreContext;
  readonly #rows: SealedRows<'aliases', Alias>;
  readonly #turns = new Turns();

  constructor(context: StoreContext) {
    this.#context = context;
    this.#rows = new SealedRows({
      seals: context.seals,
      table: 'aliases',
      identify: (row) => ({ id: `${row.region}/${row.account_id}/${row.alias_name}`, region: row.region }),
      decode: aliasOf,
      reread: (row) => this.#select({ region: row.region, accountId: row.account_id }, row.alias_name),
      memory: context.caches.memory,
      sizeOf: () => smallRowBytes,
    });
  }

  find(scope: AccountScope, aliasName: string): Promise<Alias | undefined> {
    const { caches, watch } = this.#context;
    watch.look();
    const id = aliasId(scope, aliasName);
    return (
      caches.aliases.get(id) ??
      caches.aliases.load(id, async () => {
        const row = await this.#select(scope, aliasName);
        return row === undefined ? undefined : this.#rows.open(row);
      })
    );
  }

  /** Past all that is remembered. `standIn` is opened where there is no row, so that it costs the same. */
  async findAfresh(scope: AccountScope, aliasName: string, standIn: AliasRow): Promise<Alias> {
    return this.#rows.openAfresh((await this.#select(scope, aliasName)) ?? standIn);
  }

  async list(scope: AccountScope, keyId: string | undefined, page: Page): Promise<readonly Alias[]> {
    const rows = await this.#context.db
      .selectFrom('aliases')
      .selectAll()
      .where('region', '=', scope.region)
      .where('account_id', '=', scope.accountId)
      .$if(keyId !== undefined, (query) => query.where('key_id', '=', keyId ?? ''))
      .$if(page.after !== undefined, (query) => query.where('alias_name', '>', page.after ?? ''))
      .orderBy('alias_name')
      .limit(page.limit)
      .execute();
    const aliases = await this.#rows.openAll(rows);
    // An index that lies gives rows that were not asked for, each of them sound.
    const strange = aliases.find((alias) => !isOf(scope, alias) || (keyId !== undefined && alias.keyId !== keyId));
    if (strange !== undefined) throw this.#context.seals.broken('aliases', aliasId(strange, strange.aliasName));
    return aliases;
  }

  async countOf(ref: KeyRef): Promise<number> {
    const row = await this.#context.db
      .selectFrom('aliases')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('region', '=', ref.region)
      .where('account_id', '=', ref.accountId)
      .where('key_id', '=', ref.keyId)
      .executeTakeFirstOrThrow();
    return row.count;
  }

  /** Also NotFoundException when its key is gone. */
  async insert(alias: Alias): Promise<void> {
    const { db, seals, caches } = this.#context;
    const row = await seals.seal(alias.region, 'aliases', aliasColumns(alias, 1));
    try {
      await db.transaction().execute(async (trx) => {
        await requireKey(trx, alias);
        const result = await trx
          .insertInto('aliases')
          .values(row)
          .onConflict((conflict) => conflict.doNothing())
          .executeTakeFirst();
        if (!changedOne('aliases', result.numInsertedOrUpdatedRows)) {
          throw new BridgeError('AlreadyExistsException', `An alias with the name ${arnOf(alias)} already exists`);
        }
        await requireStored(trx, 'aliases', named(alias, alias.aliasName), row);
      });
      this.#rows.wrote(row);
    } finally {
      caches.aliases.drop(aliasId(alias, alias.aliasName));
    }
  }

  /** Also NotFoundException when the new key is gone. The time of creation stays what it was. */
  update(alias: Alias, seenKeyId: string): Promise<void> {
    return this.#turns.take(aliasId(alias, alias.aliasName), async () => {
      for (let attempt = 0; attempt < writeAttempts; attempt++) {
        const row = await this.#select(alias, alias.aliasName);
        if (row === undefined) throw notFound(alias, alias.aliasName);
        if (await this.#replace(row, alias, seenKeyId)) return;
      }
      throw new BridgeError('KMSInternalException');
    });
  }

  async remove(scope: AccountScope, aliasName: string, seenKeyId: string): Promise<void> {
    const { db } = this.#context;
    try {
      const removed = await db.transaction().execute(async (trx) => {
        const row = await trx
          .selectFrom('aliases')
          .select('created_at_ms')
          .where((eb) => eb.and(named(scope, aliasName)))
          .executeTakeFirst();
        const result = await trx
          .deleteFrom('aliases')
          .where((eb) => eb.and(named(scope, aliasName)))
          .where('key_id', '=', seenKeyId)
          .executeTakeFirst();
        if (!changedOne('aliases', result.numDeletedRows)) return undefined;
        await requireStored(trx, 'aliases', named(scope, aliasName), undefined);
        return row;
      });
      if (removed !== undefined) {
        this.#rows.removed(aliasId(scope, aliasName), removed.created_at_ms);
        return;
      }
      const row = await this.#select(scope, aliasName);
      throw row === undefined ? notFound(scope, aliasName) : this.#movedMeanwhile(scope, aliasName);
    } finally {
      this.#context.caches.aliases.drop(aliasId(scope, aliasName));
    }
  }

  #movedMeanwhile(scope: AccountScope, aliasName: string): BridgeError {
    this.#context.caches.aliases.drop(aliasId(scope, aliasName));
    return new BridgeError('KMSInternalException', 'The alias was changed at the same time.');
  }

  async #select(scope: AccountScope, aliasName: string): Promise<AliasRow | undefined> {
    const { db, seals } = this.#context;
    const row = await db
      .selectFrom('aliases')
      .selectAll()
      .where('region', '=', scope.region)
      .where('account_id', '=', scope.accountId)
      .where('alias_name', '=', aliasName)
      .executeTakeFirst();
    if (
      row !== undefined &&
      (row.region !== scope.region || row.account_id !== scope.accountId || row.alias_name !== aliasName)
    )
      throw seals.broken('aliases', aliasId(scope, aliasName));
    return row;
  }

  /** False when another writer came first. */
  async #replace(row: AliasRow, alias: Alias, seenKeyId: string): Promise<boolean> {
    const { db, seals, caches } = this.#context;
    const { createdAtMs, keyId } = await this.#rows.open(row);
    if (keyId !== seenKeyId) throw this.#movedMeanwhile(alias, alias.aliasName);
    const sealed = await seals.seal(alias.region, 'aliases', aliasColumns({ ...alias, createdAtMs }, row.version + 1));
    try {
      const replaced = await db.transaction().execute(async (trx) => {
        await requireKey(trx, alias);
        const result = await trx
          .updateTable('aliases')
          .set(sealed)
          .where((eb) => eb.and(named(alias, alias.aliasName)))
          .where('version', '=', row.version)
          .executeTakeFirst();
        if (!changedOne('aliases', result.numUpdatedRows)) return false;
        await requireStored(trx, 'aliases', named(alias, alias.aliasName), sealed);
        return true;
      });
      if (replaced) this.#rows.wrote(sealed);
      return replaced;
    } finally {
      caches.aliases.drop(aliasId(alias, alias.aliasName));
    }
  }
}

const isOf = (scope: AccountScope, alias: Alias): boolean =>
  alias.region === scope.region && alias.accountId === scope.accountId;

const named = (scope: AccountScope, aliasName: string) => ({
  region: scope.region,
  account_id: scope.accountId,
  alias_name: aliasName,
});

/** In the transaction that writes the alias, so that the key cannot go in between. */
async function requireKey(trx: Kysely<Tables>, ref: KeyRef): Promise<void> {
  const key = await trx
    .selectFrom('keys')
    .select('key_id')
    .where('region', '=', ref.region)
    .where('account_id', '=', ref.accountId)
    .where('key_id', '=', ref.keyId)
    .executeTakeFirst();
  if (key === undefined) throw new BridgeError('NotFoundException', `Key '${arnOfKey(ref)}' does not exist`);
}

const arnOf = (alias: Alias): string => aliasArn(alias.region, alias.accountId, alias.aliasName);

const notFound = (scope: AccountScope, aliasName: string): BridgeError =>
  new BridgeError('NotFoundException', `Alias ${aliasArn(scope.region, scope.accountId, aliasName)} is not found.`);

export const aliasColumns = (alias: Alias, version: number): SealedColumns<'aliases'> => ({
  region: alias.region,
  account_id: alias.accountId,
  alias_name: alias.aliasName,
  version,
  key_id: alias.keyId,
  created_at_ms: alias.createdAtMs,
  updated_at_ms: alias.updatedAtMs,
});

const aliasOf = (row: SealedColumns<'aliases'>): Alias =>
  Object.freeze({
    region: row.region,
    accountId: row.account_id,
    aliasName: row.alias_name,
    keyId: row.key_id,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
  });
