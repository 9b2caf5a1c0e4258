// Aliases: one sealed row each, of the key's Region. An alias never outlives its key.
import { aliasArn } from '../kernel/arn.js';
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, type Alias, type KeyRef } from '../model/key.js';
import type { AccountScope, AliasStore, Page } from '../ports/store.js';
import { smallRowBytes, writeAttempts, type StoreContext } from './context.js';
import type { KeyTables } from './key-row.js';
import { SealedTable, type TableAtWork } from './sealed-table.js';
import { describe, type Columns, type RowOf, type SealedRow } from './table.js';
import { Turns } from './turns.js';
import type { Write } from './writes.js';

const columns = {
  region: 'text',
  account_id: 'text',
  alias_name: 'text',
  version: 'integer',
  key_id: 'text',
  created_at_ms: 'integer',
  updated_at_ms: 'integer',
} as const satisfies Columns;

export const aliases = describe({
  name: 'aliases',
  columns,
  key: ['region', 'account_id', 'alias_name'],
  sealedIn: 'its Region',
  ofKey: true,
  fromRow: aliasOf,
  bytesOf: () => smallRowBytes,
});

type AliasColumns = RowOf<typeof columns>;
export type AliasRow = SealedRow<typeof columns>;
type AliasTables = Record<'aliases', SealedRow<typeof columns>>;

export const aliasId = (scope: AccountScope, aliasName: string): string =>
  `${scope.region}/${scope.accountId}/${aliasName}`;

export class AliasRows implements AliasStore {
  readonly #context: StoreContext;
  readonly #table: TableAtWork<typeof aliases>;
  readonly #turns = new Turns();

  constructor(context: StoreContext) {
    this.#context = context;
    this.#table = new SealedTable(context, aliases);
  }

  find(scope: AccountScope, aliasName: string): Promise<Alias | undefined> {
    return this.#table.find(aliasId(scope, aliasName), named(scope, aliasName));
  }

  /** Past all that is remembered. `standIn` is opened where there is no row, so that it costs the same. */
  async findAfresh(scope: AccountScope, aliasName: string, standIn: AliasRow): Promise<Alias> {
    return this.#table.openAfresh((await this.#table.select(named(scope, aliasName))) ?? standIn);
  }

  async list(scope: AccountScope, keyId: string | undefined, page: Page): Promise<readonly Alias[]> {
    const rows = await this.#aliases
      .selectFrom('aliases')
      .select(this.#table.values)
      .where('region', '=', scope.region)
      .where('account_id', '=', scope.accountId)
      .$if(keyId !== undefined, (query) => query.where('key_id', '=', keyId ?? ''))
      .$if(page.after !== undefined, (query) => query.where('alias_name', '>', page.after ?? ''))
      .orderBy('alias_name')
      .limit(page.limit)
      .execute();
    const aliases = await this.#table.openAll(rows as unknown as AliasRow[]);
    // An index that lies gives rows that were not asked for, each of them sound.
    const foreign = aliases.find((alias) => !isOf(scope, alias) || (keyId !== undefined && alias.keyId !== keyId));
    if (foreign !== undefined) throw this.#table.broken(named(foreign, foreign.aliasName));
    return aliases;
  }

  async countOf(ref: KeyRef): Promise<number> {
    const row = await this.#aliases
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
    const row = await this.#table.seal(aliasColumns(alias, 1));
    await this.#context.writes.run(async (write) => {
      await requireKey(write, alias);
      if (!(await this.#table.insert(write, row)))
        throw new BridgeError('AlreadyExistsException', `An alias with the name ${arnOf(alias)} already exists`);
    });
  }

  /** Also NotFoundException when the new key is gone. The time of creation stays what it was. */
  update(alias: Alias, seenKeyId: string): Promise<void> {
    return this.#turns.take(aliasId(alias, alias.aliasName), async () => {
      for (let attempt = 0; attempt < writeAttempts; attempt++) {
        const row = await this.#table.select(named(alias, alias.aliasName));
        if (row === undefined) throw notFound(alias, alias.aliasName);
        if (await this.#replace(row, alias, seenKeyId)) return;
      }
      throw new BridgeError('KMSInternalException');
    });
  }

  async remove(scope: AccountScope, aliasName: string, seenKeyId: string): Promise<void> {
    const key = named(scope, aliasName);
    const removed = await this.#context.writes.run((write) =>
      this.#table.remove(write, key, (row) => row.key_id === seenKeyId),
    );
    if (removed) return;
    throw (await this.#table.select(key)) === undefined
      ? notFound(scope, aliasName)
      : this.#movedMeanwhile(scope, aliasName);
  }

  #movedMeanwhile(scope: AccountScope, aliasName: string): BridgeError {
    this.#table.drop(aliasId(scope, aliasName));
    return new BridgeError('KMSInternalException', 'The alias was changed at the same time.');
  }

  /** False when another writer came first. */
  async #replace(row: AliasRow, alias: Alias, seenKeyId: string): Promise<boolean> {
    const { createdAtMs, keyId } = await this.#table.open(row);
    if (keyId !== seenKeyId) throw this.#movedMeanwhile(alias, alias.aliasName);
    const sealed = await this.#table.seal(aliasColumns({ ...alias, createdAtMs }, row.version + 1));
    return this.#context.writes.run(async (write) => {
      await requireKey(write, alias);
      return this.#table.replace(write, sealed, row);
    });
  }

  get #aliases() {
    return this.#context.db.withTables<AliasTables>();
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
async function requireKey({ trx }: Write, ref: KeyRef): Promise<void> {
  const key = await trx
    .withTables<KeyTables>()
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

export const aliasColumns = (alias: Alias, version: number): AliasColumns => ({
  region: alias.region,
  account_id: alias.accountId,
  alias_name: alias.aliasName,
  version,
  key_id: alias.keyId,
  created_at_ms: alias.createdAtMs,
  updated_at_ms: alias.updatedAtMs,
});

function aliasOf(row: AliasColumns): Alias {
  return Object.freeze({
    region: row.region,
    accountId: row.account_id,
    aliasName: row.alias_name,
    keyId: row.key_id,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
  });
}
