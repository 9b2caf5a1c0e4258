// A key as a row and back. Both directions lose nothing, and only text and whole numbers come out.
import { ckaIdOf, type BackingKey, type Key, type KeyRef, type Tag } from '../model/key.js';
import type { SealedColumns } from './tables.js';

export const keyId = (ref: KeyRef): string => `${ref.region}/${ref.accountId}/${ref.keyId}`;

/** The index entry of a backing key: its CKA_ID as 32 lower-case hex digits. */
export const materialIndex = (backingKey: BackingKey): string => ckaIdOf(backingKey.materialId).toString('hex');

export function keyColumns(key: Key, version: number): SealedColumns<'keys'> {
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
    backing_keys: JSON.stringify(
      key.backingKeys.map(({ materialId, strategy, createdAtMs }) => ({ materialId, strategy, createdAtMs })),
    ),
    pending_material_id: key.pendingMaterialId ?? null,
    incarnation: key.incarnation,
  };
}

/** For rows whose seal matched: their content is this daemon's own. Frozen, since all requests share it. */
export function keyOf(row: SealedColumns<'keys'>): Key {
  return Object.freeze({
    region: row.region,
    accountId: row.account_id,
    keyId: row.key_id,
    status: row.status as Key['status'],
    materialMissing: row.material_missing === 1,
    spec: row.spec as Key['spec'],
    usage: row.usage as Key['usage'],
    description: row.description,
    createdAtMs: row.created_at_ms,
    deletionAtMs: row.deletion_at_ms ?? undefined,
    policy: row.policy,
    tags: frozen(JSON.parse(row.tags) as Tag[]),
    backingKeys: frozen(JSON.parse(row.backing_keys) as BackingKey[]),
    pendingMaterialId: row.pending_material_id ?? undefined,
    incarnation: row.incarnation,
  });
}

function frozen<T extends object>(items: T[]): readonly T[] {
  return Object.freeze(items.map((item) => Object.freeze(item)));
}
