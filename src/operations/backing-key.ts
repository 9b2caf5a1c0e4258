// How a key gets material: the row says what will be generated, the token generates it, the row says that it is there. A crash between
// any two of these leaves a row from which the reconcile job can finish or undo.
import { ckaIdOf, type BackingKey, type Key, type KeyRef } from '../model/key.js';
import type { Services } from './define.js';

/** A fresh KeyMaterialId: 64 hex digits. */
export const newMaterialId = (services: Services): string => services.random.bytes(32).toString('hex');

/** Generates the material that `key.pendingMaterialId` announces and records it as current. */
export async function generatePending(services: Services, key: Key): Promise<Key> {
  const materialId = key.pendingMaterialId;
  if (materialId === undefined) throw new Error('no material was announced');
  await services.token(key.region).generateKey(ckaIdOf(materialId));
  const backingKey: BackingKey = { materialId, strategy: 'gcm-host-iv', createdAtMs: services.clock.now() };
  return services.store.keys.update(key, (row) => ({
    ...row,
    status: row.status === 'creating' ? 'enabled' : row.status,
    backingKeys: [...row.backingKeys, backingKey],
    pendingMaterialId: undefined,
  }));
}

/** Destroys every generation of a key's material, announced ones too. May be repeated after a crash. */
export async function destroyMaterial(services: Services, key: Key): Promise<void> {
  const ids = key.backingKeys.map((backing) => backing.materialId);
  if (key.pendingMaterialId !== undefined) ids.push(key.pendingMaterialId);
  for (const id of ids) await services.token(key.region).destroyKey(ckaIdOf(id));
}

/** Gives an enabled key a further generation; ciphertexts of the older ones stay readable. */
export async function rotate(services: Services, ref: KeyRef): Promise<Key> {
  const announced = await services.store.keys.update(ref, (key) => ({
    ...key,
    pendingMaterialId: key.pendingMaterialId ?? newMaterialId(services),
    lane: services.lane,
  }));
  return generatePending(services, announced);
}
