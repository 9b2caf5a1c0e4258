// How a key gets material: the row says what will be generated, the token generates it, the row says that it is there. A crash between
// any two of these leaves a row that names what must be undone.
import { ckaIdOf, type BackingKey, type Key } from '../model/key.js';
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

/**
 * Gives an enabled key a further generation; ciphertexts of the older ones stay readable. What an earlier attempt announced is destroyed
 * first, and never made again: a generation that was not answered may have happened, and two objects of one CKA_ID would be two keys.
 */
export async function rotate(services: Services, key: Key): Promise<Key> {
  if (key.pendingMaterialId !== undefined) await services.token(key.region).destroyKey(ckaIdOf(key.pendingMaterialId));
  const announced = await services.store.keys.update(key, (row) => ({
    ...row,
    pendingMaterialId: newMaterialId(services),
    incarnation: services.incarnation,
  }));
  return generatePending(services, announced);
}
