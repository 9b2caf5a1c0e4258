// The steps by which the schema came to be, as tables.ts lists them. One that was released is never changed.
import { sql, type Kysely, type RawBuilder } from 'kysely';

/** What the databases write differently. `integer` holds 53 bits at least. */
export interface ColumnTypes {
  readonly integer: RawBuilder<unknown>;
  readonly blob: RawBuilder<unknown>;
  /** Numbers rows as they come, one more each time, when it is the primary key. */
  readonly sequence: RawBuilder<unknown>;
  /** Ends each CREATE TABLE. */
  readonly tableEnd: RawBuilder<unknown>;
}

export async function first(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  await keysAndMaterials(db, types);
  await db.schema
    .createTable('aliases')
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('account_id', 'text', (c) => c.notNull())
    .addColumn('alias_name', 'text', (c) => c.notNull())
    .addColumn('key_id', 'text', (c) => c.notNull())
    .addColumn('created_at_ms', types.integer, (c) => c.notNull())
    .addColumn('updated_at_ms', types.integer, (c) => c.notNull())
    .addColumn('version', types.integer, (c) => c.notNull())
    .addColumn('seal', types.blob, (c) => c.notNull())
    .addPrimaryKeyConstraint('aliases_pk', ['region', 'account_id', 'alias_name'])
    .addForeignKeyConstraint('aliases_key_fk', ['region', 'account_id', 'key_id'], 'keys', [
      'region',
      'account_id',
      'key_id',
    ])
    .modifyEnd(types.tableEnd)
    .execute();
  await db.schema.createIndex('aliases_key').on('aliases').columns(['region', 'account_id', 'key_id']).execute();
  await db.schema
    .createTable('credentials')
    .addColumn('access_key_id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('account_id', 'text', (c) => c.notNull())
    .addColumn('root', types.integer, (c) => c.notNull())
    .addColumn('created_at_ms', types.integer, (c) => c.notNull())
    .addColumn('wrapped_secret', types.blob, (c) => c.notNull())
    .addColumn('version', types.integer, (c) => c.notNull())
    .addColumn('seal', types.blob, (c) => c.notNull())
    .modifyEnd(types.tableEnd)
    .execute();
  await db.schema.createIndex('credentials_account').on('credentials').columns(['account_id']).execute();
  await unsealed(db, types);
}

async function keysAndMaterials(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('keys')
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('account_id', 'text', (c) => c.notNull())
    .addColumn('key_id', 'text', (c) => c.notNull())
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('material_missing', types.integer, (c) => c.notNull())
    .addColumn('spec', 'text', (c) => c.notNull())
    .addColumn('usage', 'text', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addColumn('created_at_ms', types.integer, (c) => c.notNull())
    .addColumn('deletion_at_ms', types.integer)
    .addColumn('policy', 'text', (c) => c.notNull())
    .addColumn('tags', 'text', (c) => c.notNull())
    .addColumn('backing_keys', 'text', (c) => c.notNull())
    .addColumn('pending_material_id', 'text')
    .addColumn('incarnation', types.integer, (c) => c.notNull())
    .addColumn('version', types.integer, (c) => c.notNull())
    .addColumn('seal', types.blob, (c) => c.notNull())
    .addPrimaryKeyConstraint('keys_pk', ['region', 'account_id', 'key_id'])
    .modifyEnd(types.tableEnd)
    .execute();
  await db.schema
    .createIndex('keys_due')
    .on('keys')
    .columns(['region', 'deletion_at_ms'])
    .where(sql.ref('deletion_at_ms'), 'is not', null)
    .execute();
  await db.schema
    .createTable('materials')
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('cka_id', 'text', (c) => c.notNull())
    .addColumn('account_id', 'text', (c) => c.notNull())
    .addColumn('key_id', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('materials_pk', ['region', 'cka_id'])
    .modifyEnd(types.tableEnd)
    .execute();
  await db.schema.createIndex('materials_key').on('materials').columns(['region', 'account_id', 'key_id']).execute();
}

async function unsealed(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('tokens')
    .addColumn('region', 'text', (c) => c.notNull().primaryKey())
    .addColumn('serial', 'text', (c) => c.notNull())
    .addColumn('daemon_keys_since_ms', types.integer, (c) => c.notNull())
    .addColumn('seal_check', types.blob, (c) => c.notNull())
    .modifyEnd(types.tableEnd)
    .execute();
  await db.schema
    .createTable('usage')
    .addColumn('material_id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('total', types.integer, (c) => c.notNull())
    .modifyEnd(types.tableEnd)
    .execute();
  await db.schema
    .createTable('leases')
    .addColumn('name', 'text', (c) => c.notNull().primaryKey())
    .addColumn('holder', 'text', (c) => c.notNull())
    .addColumn('expires_at_ms', types.integer, (c) => c.notNull())
    .modifyEnd(types.tableEnd)
    .execute();
}

/** What starts and jobs look for, found without reading any other row, and in the order of the pages (key-upkeep.ts). */
export async function pages(db: Kysely<unknown>): Promise<void> {
  await db.schema.dropIndex('keys_due').execute();
  await db.schema
    .createIndex('keys_deletion')
    .on('keys')
    .columns(['region', 'deletion_at_ms', 'account_id', 'key_id'])
    .where(sql.ref('deletion_at_ms'), 'is not', null)
    .execute();
  await sql`create index keys_unsettled on keys (region, account_id, key_id)
    where (status = 'creating' or pending_material_id is not null)`.execute(db);
  await sql`create index keys_without_material on keys (region, account_id, key_id) where material_missing = 1`.execute(
    db,
  );
}

/** Lives of gateways, and leases that tell one holder from the next. */
export async function lives(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('lives')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('host', 'text', (c) => c.notNull())
    .addColumn('lane', types.integer, (c) => c.notNull())
    .addColumn('started_at_ms', types.integer, (c) => c.notNull())
    .addColumn('heartbeat_at_ms', types.integer, (c) => c.notNull())
    .modifyEnd(types.tableEnd)
    .execute();
  await db.schema
    .alterTable('leases')
    .addColumn('token', types.integer, (c) => c.notNull().defaultTo(0))
    .execute();
  await db.schema.alterTable('keys').addColumn('life', 'text').execute();
}

/** What each commit changed. */
export async function changes(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('changes')
    .addColumn('seq', types.sequence, (c) => c.primaryKey())
    .addColumn('writer', 'text', (c) => c.notNull())
    .addColumn('changed', 'text', (c) => c.notNull())
    .modifyEnd(types.tableEnd)
    .execute();
}

/** Null in rows that were written before: their Region had one key store. */
export async function keyStores(db: Kysely<unknown>): Promise<void> {
  for (const table of ['keys', 'backing_keys'])
    await db.schema.alterTable(table).addColumn('key_store', 'text').execute();
}
