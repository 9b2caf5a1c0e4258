// What the daemon does of itself: deletes keys that are due, and after a start settles what a crash left half done. All of it may be
// interrupted anywhere and done again.
import { BridgeError } from '../kernel/errors.js';
import { ckaIdOf, type Key } from '../model/key.js';
import { destroyMaterial } from '../operations/backing-key.js';
import type { Services } from '../operations/define.js';
import { serviceEvent } from './service-event.js';

/** Material first, then the row: an object without a row could never be found again. Returns how many keys were deleted. */
export async function deleteDueKeys(services: Services, region: string): Promise<number> {
  const due = await services.store.keys.due(region, services.clock.now());
  for (const key of due) {
    await serviceEvent(services, 'DeleteKey', key, async () => {
      await destroyMaterial(services, key);
      await services.store.keys.remove(key);
    });
  }
  return due.length;
}

export interface Reconciled {
  /** Keys whose creation was undone, rotations that were undone. */
  readonly undone: number;
  /** Keys whose material the token does not hold. */
  readonly missing: readonly string[];
  /** CKA_IDs of objects that no row names: reported, never destroyed, since another database may own them. */
  readonly unknown: readonly string[];
}

/**
 * Settles one Region after a start. `isAbandoned` says whose unfinished work is ours to settle: that gateway is dead. Nobody was told
 * of a key whose creation did not finish, so it is undone.
 */
export async function reconcile(
  services: Services,
  region: string,
  isAbandoned: (incarnation: number) => boolean,
): Promise<Reconciled> {
  const unsettled = await services.store.keys.unsettled(region, isAbandoned);
  for (const key of unsettled) await undo(services, key);
  const rows = await services.store.keys.all(region);
  const held = new Set((await services.token(region).inventory()).map((id) => id.toString('hex')));
  const named = new Set<string>();
  const missing: string[] = [];
  for (const key of rows) {
    const ids = key.backingKeys.map((backing) => ckaIdOf(backing.materialId).toString('hex'));
    ids.forEach((id) => named.add(id));
    const materialMissing = ids.some((id) => !held.has(id));
    if (materialMissing) missing.push(key.keyId);
    if (materialMissing !== key.materialMissing) await markMissing(services, key, materialMissing);
  }
  const unknown: string[] = [];
  for (const id of held) {
    if (!named.has(id) && !(await isNamed(services, region, id))) unknown.push(id);
  }
  return { undone: unsettled.length, missing, unknown };
}

/** A row whose seal is broken names its objects all the same: it is refused and shown in health, and the start goes on. */
async function isNamed(services: Services, region: string, ckaId: string): Promise<boolean> {
  try {
    return (await services.store.keys.findByMaterial(region, ckaId)) !== undefined;
  } catch (error) {
    if (error instanceof BridgeError) return true;
    throw error;
  }
}

async function undo(services: Services, key: Key): Promise<void> {
  if (key.status === 'creating') {
    await destroyMaterial(services, key);
    await services.store.keys.remove(key);
    return;
  }
  if (key.pendingMaterialId !== undefined) await services.token(key.region).destroyKey(ckaIdOf(key.pendingMaterialId));
  await services.store.keys.update(key, (row) => ({ ...row, pendingMaterialId: undefined }));
}

async function markMissing(services: Services, key: Key, materialMissing: boolean): Promise<void> {
  try {
    await services.store.keys.update(key, (row) => ({ ...row, materialMissing }));
  } catch (error) {
    // Deleted since the rows were read.
    if (!(error instanceof BridgeError && error.code === 'NotFoundException')) throw error;
  }
}
