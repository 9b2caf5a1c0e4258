// The table of keys, and a key as a row and back. Both directions lose nothing, and only text and whole numbers come out.
import { textBytes } from '../kernel/bounded-memory.js';
import type { BackingKey, Key, KeyRef, Tag } from '../model/key.js';
import { backingKeyOf, backingKeyRows, backingKeys, type BackingKeyRow } from './backing-keys.js';
import { digestOf } from './parts.js';
import { describe, parts, type Columns, type RowOf, type SealedRow } from './table.js';

/** Measured with texts of no length; the policy as it is evaluated is remembered elsewhere, and counted there. */
const keyObjectBytes = 1_024;
const memberObjectBytes = 100;

const columns = {
  region: 'text',
  account_id: 'text',
  key_id: 'text',
  version: 'integer',
  status: 'text',
  material_missing: 'integer',
  spec: 'text',
  usage: 'text',
  description: 'text',
  created_at_ms: 'integer',
  deletion_at_ms: 'integer?',
  policy: 'text',
  tags: 'text',
  /** As version 0.1 had them, in JSON; an empty list since. */
  backing_keys: 'text',
  pending_material_id: 'text?',
  /** As version 0.1 had it; 0 since. */
  incarnation: 'integer',
  life: 'text?',
  /** The digest of the rows of its backing keys; null in a row that was written before they had any. */
  generations: 'blob?',
  /** Null: the Region's default one. */
  key_store: 'text?',
} as const satisfies Columns;

export const keys = describe({
  name: 'keys',
  columns,
  key: ['region', 'account_id', 'key_id'],
  sealedIn: 'its Region',
  ofKey: false,
  parts: { table: backingKeys, digestIn },
  fromRow: keyOf,
  bytesOf: keyBytes,
});

export type KeyColumns = RowOf<typeof columns>;
export type KeyRow = SealedRow<typeof columns>;
export type KeyTables = Record<'keys', KeyRow>;

export const keyId = (ref: KeyRef): string => `${ref.region}/${ref.accountId}/${ref.keyId}`;

/** The primary key. */
export const keyKey = (ref: KeyRef) => ({ region: ref.region, account_id: ref.accountId, key_id: ref.keyId });

export function keyColumns(key: Key, version: number): KeyColumns {
  const generations = backingKeyRows(key, key.backingKeys);
  return {
    region: key.region,
    account_id: key.accountId,
    key_id: key.keyId,
    version,
    status: key.status,
    material_missing: key.materialMissing ? 1 : 0,
    spec: key.spec,
    usage: key.usage,
    description: key.description,
    created_at_ms: key.createdAtMs,
    deletion_at_ms: key.deletionAtMs ?? null,
    policy: key.policy,
    tags: JSON.stringify(key.tags.map(({ TagKey, TagValue }) => ({ TagKey, TagValue }))),
    backing_keys: '[]',
    pending_material_id: key.pendingMaterialId ?? null,
    incarnation: 0,
    life: key.life,
    generations: digestOf(backingKeys, generations),
    key_store: key.keyStore ?? null,
    [parts]: generations,
  };
}

/** What a row of an earlier version says of its backing keys is sealed in it: their rows must say the same. */
function digestIn(row: KeyColumns): Buffer {
  if (row.generations !== null) return row.generations;
  const key = { region: row.region, accountId: row.account_id, keyId: row.key_id, keyStore: keyStoreIn(row) };
  return digestOf(backingKeys, backingKeyRows(key, JSON.parse(row.backing_keys) as BackingKey[]));
}

const keyStoreIn = (row: { readonly key_store: string | null }): string | undefined => row.key_store ?? undefined;

/** For rows whose seal matched. Frozen, since all requests share it. */
export function keyOf(row: KeyColumns): Key {
  return Object.freeze({
    region: row.region,
    accountId: row.account_id,
    keyId: row.key_id,
    keyStore: keyStoreIn(row),
    status: row.status as Key['status'],
    materialMissing: row.material_missing === 1,
    spec: row.spec as Key['spec'],
    usage: row.usage as Key['usage'],
    description: row.description,
    createdAtMs: row.created_at_ms,
    deletionAtMs: row.deletion_at_ms ?? undefined,
    policy: row.policy,
    tags: frozen(JSON.parse(row.tags) as Tag[]),
    backingKeys: frozen(((row[parts] ?? []) as readonly BackingKeyRow[]).map(backingKeyOf)),
    pendingMaterialId: row.pending_material_id ?? undefined,
    life: row.life ?? lifeOfEarlierVersion,
  });
}

function frozen<T extends object>(items: T[]): readonly T[] {
  return Object.freeze(items.map((item) => Object.freeze(item)));
}

/** Of rows that version 0.1 wrote: it is over, since one daemon at a time has the home. No life has this id. */
const lifeOfEarlierVersion = '';

/** What a key holds, for the memory that keeps it. */
export function keyBytes(key: Key): number {
  let bytes = keyObjectBytes + textBytes(key.policy) + textBytes(key.description);
  for (const { TagKey, TagValue } of key.tags) bytes += memberObjectBytes + textBytes(TagKey) + textBytes(TagValue);
  for (const { materialId } of key.backingKeys) bytes += memberObjectBytes + textBytes(materialId);
  return bytes;
}
