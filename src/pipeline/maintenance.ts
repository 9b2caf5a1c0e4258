// What the daemon does of itself: deletes keys that are due, and after a start settles what a crash left half done. All of it may be
// interrupted anywhere and done again.
import { BridgeError } from '../kernel/errors.js';
import { ckaIdOf, type Key } from '../model/key.js';
import { destroyMaterial } from '../operations/backing-key.js';
import type { Services } from '../operations/define.js';
import type { SecondLook } from './second-look.js';
import { audited, ofKey } from './service-event.js';

/** Gets what could not be done about one key; the others are not kept waiting by it. */
export type OnFailure = (key: Key, error: unknown) => void;

/** What there is to say that time has passed. */
export interface Evidence {
  readonly secondLook: SecondLook;
  /** False: the clock was set forward, or may have been, and nothing is due by it. */
  readonly clockBelieved: boolean;
}

/**
 * Deletes what was due an hour ago already, by a clock that is believed, and finishes deletions that had begun. Material first, then the
 * row: an object without a row could never be found again.
 */
export async function deleteDueKeys(
  services: Services,
  region: string,
  { secondLook, clockBelieved }: Evidence,
  onFailure: OnFailure,
): Promise<void> {
  const found = await services.store.keys.due(region, services.clock.now());
  const pending = clockBelieved ? found.filter(({ status }) => status !== 'deleting') : [];
  const ripe = secondLook.ripe(
    `deletion ${region}`,
    pending,
    (key) => `${key.accountId} ${key.keyId} ${key.deletionAtMs}`,
  );
  const due = [...found.filter(({ status }) => status === 'deleting'), ...ripe];
  // A token that is away would leave two records a minute for each of them.
  if (due.length > 0) await services.token(region).info();
  for (const key of due) {
    await attempt(key, onFailure, () =>
      audited(services, ofKey('DeleteKey', key), async () => {
        const claimed = await services.store.keys.update(key, claim(services.clock.now()));
        await destroyMaterial(services, claimed);
        await services.store.keys.remove(claimed);
      }),
    );
  }
}

/** From here on the deletion cannot be cancelled; a cancellation that came first wins. */
const claim =
  (nowMs: number) =>
  (key: Key): Key => {
    const due = key.status === 'pendingDeletion' && (key.deletionAtMs ?? Infinity) <= nowMs;
    if (!due && key.status !== 'deleting') throw new BridgeError('KMSInvalidStateException');
    return { ...key, status: 'deleting' };
  };

/**
 * Keys whose creation failed while the daemon went on: nobody was told of them. One that has been under way for an hour of this process's
 * life never ends: a token call has ten minutes at most. The wall clock has no say in it.
 */
export async function undoStaleCreations(
  services: Services,
  region: string,
  { secondLook }: Evidence,
  onFailure: OnFailure,
): Promise<void> {
  const unsettled = await services.store.keys.unsettled(region, () => true);
  const creating = unsettled.filter(({ status }) => status === 'creating');
  const stale = secondLook.ripe(`creation ${region}`, creating, (key) => `${key.accountId} ${key.keyId}`);
  for (const key of stale) await attempt(key, onFailure, () => undo(services, key));
}

async function attempt(key: Key, onFailure: OnFailure, change: () => Promise<unknown>): Promise<void> {
  try {
    await change();
  } catch (error) {
    onFailure(key, error);
  }
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
  onFailure: OnFailure,
): Promise<Reconciled> {
  const unsettled = await services.store.keys.unsettled(region, isAbandoned);
  for (const key of unsettled) await attempt(key, onFailure, () => undo(services, key));
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
  const creating = key.status === 'creating';
  await audited(services, ofKey(creating ? 'UndoCreateKey' : 'UndoRotateKey', key), async () => {
    if (creating) {
      await destroyMaterial(services, key);
      await services.store.keys.remove(key);
    } else if (key.pendingMaterialId !== undefined) {
      await services.token(key.region).destroyKey(ckaIdOf(key.pendingMaterialId));
      await services.store.keys.update(key, (row) => ({ ...row, pendingMaterialId: undefined }));
    }
  });
}

async function markMissing(services: Services, key: Key, materialMissing: boolean): Promise<void> {
  try {
    await services.store.keys.update(key, (row) => ({ ...row, materialMissing }));
  } catch (error) {
    // Deleted since the rows were read.
    if (!(error instanceof BridgeError && error.code === 'NotFoundException')) throw error;
  }
}
