// What the daemon does of itself, in one key store at a time: deletes keys that are due, and after a start settles what a crash left half
// done. All of it may be interrupted anywhere and done again. Keys of a key store that is not configured are only counted.
import { BridgeError } from '../kernel/errors.js';
import { turn } from '../kernel/timers.js';
import { ckaIdOf, type Key } from '../model/key.js';
import { isDefault, keyStoreName, keyStorePattern, type KeyStoreRef } from '../model/key-store.js';
import { adopt, isPendingMade, materialOf } from '../operations/backing-key.js';
import type { Lease } from '../ports/store.js';
import { theDaemon } from '../ports/token.js';
import type { Services } from '../operations/define.js';
import { PackedIds } from './packed-ids.js';
import type { SecondLook } from './second-look.js';
import { audited, ofKey } from './service-event.js';

/** Gets what could not be done about one key; the others are not kept waiting by it. */
export type OnFailure = (key: Key, error: unknown) => void;

/** What there is to say that time has passed. */
export interface Evidence {
  readonly secondLook: SecondLook;
  /** False: the clock was set forward, or may have been, and nothing is due by it. */
  readonly clockBelieved: boolean;
  /** Whose holder does it: nothing is written once it has run out. */
  readonly lease?: Lease;
}

/**
 * Deletes what was due an hour ago already, by a clock that is believed, and finishes deletions that had begun. Material first, then the
 * row: an object without a row could never be found again. Without the token's own record of the deletion nothing is destroyed: the row is an
 * older one put back, or a cancellation was interrupted, and the key is disabled, as a cancelled one is.
 */
export async function deleteDueKeys(
  services: Services,
  keyStore: KeyStoreRef,
  { secondLook, clockBelieved, lease }: Evidence,
  onFailure: OnFailure,
): Promise<void> {
  const look = secondLook.look(`deletion ${keyStoreName(keyStore)}`);
  let tokenIsThere = false;
  for await (const key of services.store.keys.due(keyStore, services.clock.now())) {
    const begun = key.status === 'deleting';
    if (!begun && !(clockBelieved && look.isRipe(`${key.accountId} ${key.keyId} ${key.deletionAtMs}`))) continue;
    if (!tokenIsThere) await requireToken(services, keyStore);
    tokenIsThere = true;
    await attempt(key, onFailure, () =>
      audited(services, ofKey('DeleteKey', key), async () => {
        const claimed = await services.store.keys.update(key, claim(services.clock.now()), lease);
        const token = services.tokens.of(claimed, theDaemon);
        if (!(await token.destroyScheduled(materialOf(claimed), claimed.deletionAtMs ?? 0))) {
          // Others' times are not kept for a row that may come back.
          await token.cancelDestruction(materialOf(claimed));
          await services.store.keys.update(claimed, withoutDeletion, lease);
          throw new BridgeError('KMSInvalidStateException', unrecorded);
        }
        await services.store.keys.remove(claimed, lease);
      }),
    );
  }
  look.end();
}

const unrecorded = 'the token has no record of this deletion: nothing was destroyed, and the key is disabled';

const withoutDeletion = (key: Key): Key => ({ ...key, status: 'disabled', deletionAtMs: undefined });

/** From here on the deletion cannot be cancelled; a cancellation that came first wins. */
const claim =
  (nowMs: number) =>
  (key: Key): Key => {
    const due = key.status === 'pendingDeletion' && (key.deletionAtMs ?? Infinity) <= nowMs;
    if (!due && key.status !== 'deleting') throw new BridgeError('KMSInvalidStateException');
    return { ...key, status: 'deleting' };
  };

/**
 * Keys whose creation failed while the daemon went on. One that has been under way for an hour of this process's
 * life never ends: a token call has ten minutes at most. The wall clock has no say in it.
 */
export async function settleStaleCreations(
  services: Services,
  keyStore: KeyStoreRef,
  { secondLook, lease }: Evidence,
  onFailure: OnFailure,
): Promise<void> {
  const look = secondLook.look(`creation ${keyStoreName(keyStore)}`);
  let tokenIsThere = false;
  for await (const key of services.store.keys.unsettled(keyStore, 'all')) {
    if (key.status !== 'creating' || !look.isRipe(`${key.accountId} ${key.keyId}`)) continue;
    if (!tokenIsThere) await requireToken(services, keyStore);
    tokenIsThere = true;
    await attempt(key, onFailure, () => settle(services, key, lease));
  }
  look.end();
}

/** Creations and rotations of gateways that are gone, never those of gateways that live; gives how many there were. */
export async function settleAbandoned(
  services: Services,
  keyStore: KeyStoreRef,
  onFailure: OnFailure,
  lease?: Lease,
): Promise<number> {
  let settled = 0;
  for await (const key of services.store.keys.unsettled(keyStore, 'abandoned')) {
    if (settled === 0) await requireToken(services, keyStore);
    settled += 1;
    await attempt(key, onFailure, () => settle(services, key, lease));
  }
  return settled;
}

/**
 * A token that is away would leave two records and a line a minute for each key. One that is another would have nothing to destroy and nothing that was
 * made: rows would go, and the right token would keep the keys.
 */
async function requireToken({ store, tokens }: Services, keyStore: KeyStoreRef): Promise<void> {
  await tokens.of(keyStore, theDaemon).info();
  const wrong = await store.wrongToken(keyStore);
  if (wrong !== undefined) throw new BridgeError('KMSInternalException', undefined, { cause: new Error(wrong) });
}

async function attempt(key: Key, onFailure: OnFailure, change: () => Promise<unknown>): Promise<void> {
  try {
    await change();
  } catch (error) {
    onFailure(key, error);
  }
}

/** A token's list of 100,000 must not hold up the requests. */
const objectsAtOnce = 1_000;
/** Of many. */
const namesTold = 10;

/** How many there are, and the first of them. */
export interface Found {
  readonly count: number;
  readonly first: readonly string[];
}

export interface Reconciled {
  /** Creations and rotations that a crash had interrupted, finished or undone. */
  readonly settled: number;
  /** Keys whose material the token does not hold. */
  readonly missing: Found;
  /** Objects that no row names: reported, never destroyed, since another database may own them. */
  readonly unknown: number;
  /** Backing keys that no token can be asked for, and the key stores they are in. With a Region's default key store; else none. */
  readonly unserved: Found;
}

/** Settles one key store after a start. Of all rows only ids are held; keys are read when something is to be done. */
export async function reconcile(services: Services, keyStore: KeyStoreRef, onFailure: OnFailure): Promise<Reconciled> {
  const settled = await settleAbandoned(services, keyStore, onFailure);
  const { ids, unserved } = await listRows(services, keyStore);
  const { lost, unknown } = await compare(services, keyStore, ids);
  const missing = await markMissing(services, keyStore, lost);
  await markFound(services, keyStore, lost);
  const named = await services.store.keys.named(keyStore, unknown);
  return { settled, missing, unknown: unknown.length - named.size, unserved };
}

/** What the rows say that the token holds; beside the default key store also what is in none that is configured. */
async function listRows(
  services: Services,
  keyStore: KeyStoreRef,
): Promise<{ readonly ids: PackedIds; readonly unserved: Found }> {
  const { region } = keyStore;
  const configured = new Set(services.tokens.keyStoresOf(region).map((each) => each.keyStore));
  const ids = new PackedIds();
  const elsewhere = new Set<string>();
  let count = 0;
  for await (const page of services.store.keys.materials(region)) {
    ids.add(page.filter((place) => place.keyStore === keyStore.keyStore).map(({ ckaId }) => ckaId));
    if (!isDefault(keyStore)) continue;
    for (const { keyStore: name } of page) {
      if (name === undefined || configured.has(name)) continue;
      count += 1;
      // Read without its seal: what is no name of a key store is of another hand.
      if (elsewhere.size < namesTold && keyStorePattern.test(name)) elsewhere.add(name);
    }
  }
  return { ids, unserved: { count, first: [...elsewhere] } };
}

/** CKA_IDs that only the rows have, and those that only the token has. Both lists come in the same order and are walked side by side. */
async function compare(
  services: Services,
  keyStore: KeyStoreRef,
  ids: PackedIds,
): Promise<{ readonly lost: ReadonlySet<string>; readonly unknown: readonly string[] }> {
  // All rows were read before the first object, since the token goes on in one list: what is made meanwhile is in both, or at worst unknown.
  const rows = ids[Symbol.iterator]();
  const [lost, unknown] = [new Set<string>(), [] as string[]];
  let row = rows.next().value;
  for (let after: Buffer | undefined; ;) {
    const page = await services.tokens.of(keyStore, theDaemon).inventory(after, objectsAtOnce);
    for (const id of page) {
      const ckaId = id.toString('hex');
      for (; row !== undefined && row < ckaId; row = rows.next().value) lost.add(row);
      if (row === ckaId) row = rows.next().value;
      else unknown.push(ckaId);
    }
    after = page.at(-1);
    if (page.length < objectsAtOnce) break;
    await turn(services.timers);
  }
  for (; row !== undefined; row = rows.next().value) {
    lost.add(row);
    if (lost.size % objectsAtOnce === 0) await turn(services.timers);
  }
  return { lost, unknown };
}

/** The index names the key; whether the material is its own, the sealed row says. */
const lacks = (key: Key, lost: ReadonlySet<string>): boolean =>
  key.backingKeys.some(({ materialId }) => lost.has(ckaIdOf(materialId).toString('hex')));

async function markMissing(services: Services, keyStore: KeyStoreRef, lost: ReadonlySet<string>): Promise<Found> {
  const seen = new Set<string>();
  for await (const key of services.store.keys.owners(keyStore, lost)) {
    if (!lacks(key, lost) || seen.has(key.keyId)) continue;
    seen.add(key.keyId);
    if (!key.materialMissing) await setMissing(services, key, true);
  }
  return { count: seen.size, first: [...seen].slice(0, namesTold) };
}

async function markFound(services: Services, keyStore: KeyStoreRef, lost: ReadonlySet<string>): Promise<void> {
  for await (const key of services.store.keys.withoutMaterial(keyStore)) {
    if (!lacks(key, lost)) await setMissing(services, key, false);
  }
}

/**
 * What the token has made is taken, and never destroyed: the row may be an older one, put back, of a key that is in use. What it has not made
 * is forgotten.
 */
async function settle(services: Services, key: Key, lease?: Lease): Promise<void> {
  const { pendingMaterialId } = key;
  const creating = key.status === 'creating';
  const made = await isPendingMade(services, key);
  const change = creating ? 'CreateKey' : 'RotateKey';
  await audited(services, ofKey(`${made ? 'Finish' : 'Undo'}${change}`, key), async () => {
    if (made && pendingMaterialId !== undefined) await adopt(services, key, pendingMaterialId, lease);
    else if (creating) await services.store.keys.removeUnfinished(key, lease);
    else await services.store.keys.update(key, withoutMaterial(pendingMaterialId), lease);
  });
}

/** A row that announces other material by now is another gateway's. */
const withoutMaterial =
  (pendingMaterialId: string | undefined) =>
  (row: Key): Key =>
    row.pendingMaterialId === pendingMaterialId ? { ...row, pendingMaterialId: undefined } : row;

async function setMissing(services: Services, key: Key, materialMissing: boolean): Promise<void> {
  try {
    await services.store.keys.update(key, (row) => ({ ...row, materialMissing }));
  } catch (error) {
    // Deleted since the rows were read.
    if (!(error instanceof BridgeError && error.code === 'NotFoundException')) throw error;
  }
}
