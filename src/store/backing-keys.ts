// Backing keys: a row for each generation of a key's material, sealed with the key (parts.ts). They also say whose the object with a CKA_ID is;
// a key found that way is believed when it names that backing key itself.
import { sql, type Kysely } from 'kysely';
import type { BackingKey, Key, KeyRef } from '../model/key.js';
import type { KeyStoreRef } from '../model/key-store.js';
import type { Strategy } from '../model/ciphertext-blob.js';
import { ReadCache } from './cache.js';
import type { OfKey, StoreContext } from './context.js';
import type { ColumnTypes } from './migrations.js';
import type { AnyColumns, PartTable, RowOf } from './table.js';
import type { Write } from './writes.js';

const columns = {
  region: 'text',
  account_id: 'text',
  key_id: 'text',
  /** 1, 2, …; the last one encrypts. */
  generation: 'integer',
  /** 32 hex digits. */
  cka_id: 'text',
  material_id: 'text',
  strategy: 'text?',
  created_at_ms: 'integer',
  /** Its key's: what a token is to hold is listed from here. */
  key_store: 'text?',
} as const satisfies AnyColumns;

export const backingKeys = {
  name: 'backing_keys',
  columns,
  key: ['region', 'cka_id'],
  order: 'generation',
} as const satisfies PartTable<typeof columns>;

export type BackingKeyRow = RowOf<typeof columns>;
export type BackingKeyTables = Record<'backing_keys', BackingKeyRow>;

const ckaIdIn = ({ materialId }: BackingKey): string => materialId.slice(0, 32);

export const backingKeyRows = (key: KeyRef & KeyStoreRef, generations: readonly BackingKey[]): BackingKeyRow[] =>
  generations.map((backingKey, n) => ({
    region: key.region,
    account_id: key.accountId,
    key_id: key.keyId,
    generation: n + 1,
    cka_id: ckaIdIn(backingKey),
    material_id: backingKey.materialId,
    strategy: backingKey.strategy ?? null,
    created_at_ms: backingKey.createdAtMs,
    key_store: key.keyStore ?? null,
  }));

export const backingKeyOf = (row: BackingKeyRow): BackingKey => ({
  materialId: row.material_id,
  strategy: (row.strategy as Strategy | null) ?? undefined,
  createdAtMs: row.created_at_ms,
});

/** Whether the key names the backing key with this CKA_ID. */
export const owns = (key: Key, ckaId: string): boolean => key.backingKeys.some((backing) => ckaIdIn(backing) === ckaId);

/** The key that a row names. */
export interface Owner {
  readonly id: string;
  readonly key: { readonly region: string; readonly account_id: string; readonly key_id: string };
}

const ownerBytes = 600;

export class Owners implements OfKey {
  readonly #context: StoreContext;
  /** By Region and CKA_ID, and by Region, account and CKA_ID; null: it is not that account's. */
  readonly #cache: ReadCache<Owner | null>;

  constructor(context: StoreContext) {
    this.#context = context;
    this.#cache = new ReadCache(backingKeys.name, context.memory, () => ownerBytes);
    context.caches.push(this.#cache);
    context.ofKey.push(this);
  }

  /** For who has looked for changes. With an account: only when it is that account's. */
  known(region: string, ckaId: string, accountId?: string): Promise<Owner | null | undefined> {
    const id = lookUpId(region, ckaId, accountId);
    return (
      this.#cache.get(id) ??
      this.#cache.load(id, async () => {
        const owner = await this.select(region, ckaId, accountId);
        return owner ?? (accountId === undefined ? undefined : null);
      })
    );
  }

  /** As the row is now. */
  async select(region: string, ckaId: string, accountId?: string): Promise<Owner | undefined> {
    const key = await this.#rows
      .selectFrom('backing_keys')
      .select(['region', 'account_id', 'key_id'])
      .where('region', '=', region)
      .where('cka_id', '=', ckaId)
      .$if(accountId !== undefined, (query) => query.where('account_id', '=', accountId ?? ''))
      .executeTakeFirst();
    return key && { id: `${key.region}/${key.account_id}/${key.key_id}`, key };
  }

  /** In the transaction that writes the key: what is remembered of the backing keys that it gets and loses is so no more. */
  touch(
    write: Write,
    { region, accountId }: KeyRef,
    before: readonly BackingKey[],
    after: readonly BackingKey[],
  ): void {
    const [old, now] = [before.map(ckaIdIn), after.map(ckaIdIn)];
    const changed = [...old.filter((id) => !now.includes(id)), ...now.filter((id) => !old.includes(id))];
    for (const ckaId of changed) {
      write.touch(this.#cache, lookUpId(region, ckaId));
      write.touch(this.#cache, lookUpId(region, ckaId, accountId));
    }
  }

  async removeOfKey(write: Write, ref: KeyRef): Promise<void> {
    const owned = { region: ref.region, account_id: ref.accountId, key_id: ref.keyId };
    const trx = write.trx.withTables<BackingKeyTables>();
    const rows = await trx
      .selectFrom('backing_keys')
      .selectAll()
      .where((eb) => eb.and(owned))
      .execute();
    this.touch(write, ref, rows.map(backingKeyOf), []);
    await trx
      .deleteFrom('backing_keys')
      .where((eb) => eb.and(owned))
      .execute();
  }

  get #rows() {
    return this.#context.db.withTables<BackingKeyTables>();
  }
}

const lookUpId = (region: string, ckaId: string, accountId?: string): string =>
  accountId === undefined ? `${region}/${ckaId}` : `${region}/${accountId}/${ckaId}`;

/** The migration, which stays as it is. The rows come from what keys held themselves; the index `materials`, which had no seal, goes. */
export async function createBackingKeys(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('backing_keys')
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('cka_id', 'text', (c) => c.notNull())
    .addColumn('account_id', 'text', (c) => c.notNull())
    .addColumn('key_id', 'text', (c) => c.notNull())
    .addColumn('generation', types.integer, (c) => c.notNull())
    .addColumn('material_id', 'text', (c) => c.notNull())
    .addColumn('strategy', 'text')
    .addColumn('created_at_ms', types.integer, (c) => c.notNull())
    .addPrimaryKeyConstraint('backing_keys_pk', ['region', 'cka_id'])
    .addForeignKeyConstraint('backing_keys_key_fk', ['region', 'account_id', 'key_id'], 'keys', [
      'region',
      'account_id',
      'key_id',
    ])
    .modifyEnd(types.tableEnd)
    .execute();
  await db.schema
    .createIndex('backing_keys_key')
    .unique()
    .on('backing_keys')
    .columns(['region', 'account_id', 'key_id', 'generation'])
    .execute();
  await db.schema.alterTable('keys').addColumn('generations', types.blob).execute();
  await fillBackingKeys(db as Kysely<KeysOf01>);
  await db.schema.dropTable('materials').execute();
}

interface KeysOf01 {
  readonly keys: Record<'region' | 'account_id' | 'key_id' | 'backing_keys', string>;
  readonly backing_keys: Record<string, string | number | null>;
}

async function fillBackingKeys(db: Kysely<KeysOf01>): Promise<void> {
  for (let after = { region: '', account_id: '', key_id: '' }; ;) {
    const page = await db
      .selectFrom('keys')
      .select(['region', 'account_id', 'key_id', 'backing_keys'])
      .where(sql<boolean>`(region, account_id, key_id) > (${after.region}, ${after.account_id}, ${after.key_id})`)
      .orderBy('region')
      .orderBy('account_id')
      .orderBy('key_id')
      .limit(500)
      .execute();
    const rows = page.flatMap(backingKeysIn);
    while (rows.length > 0)
      await db
        .insertInto('backing_keys')
        .values(rows.splice(0, 500))
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    const last = page.at(-1);
    if (last === undefined) return;
    after = last;
  }
}

/** What is no list of backing keys comes from another hand: its row is broken by its seal, and no other one is kept from opening. */
function backingKeysIn({ backing_keys: text, ...key }: KeysOf01['keys']): KeysOf01['backing_keys'][] {
  const listed = parsed(text);
  return (Array.isArray(listed) ? listed : []).flatMap((backing: unknown, n) => {
    const { materialId, strategy, createdAtMs } = Object(backing) as Readonly<Record<string, unknown>>;
    if (typeof materialId !== 'string' || typeof createdAtMs !== 'number' || !Number.isSafeInteger(createdAtMs))
      return [];
    return {
      ...key,
      generation: n + 1,
      cka_id: materialId.slice(0, 32),
      material_id: materialId,
      strategy: typeof strategy === 'string' ? strategy : null,
      created_at_ms: createdAtMs,
    };
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
