// How a key gets material and loses it: the row says what will be generated, the token generates it, the row says that it is there. What is
// in the token is never destroyed because of a row, which may be an older one put back: only after a record in the token itself.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, ckaIdOf, type BackingKey, type Key } from '../model/key.js';
import { keySpecRow } from '../model/key-specs.js';
import { NothingMade, theDaemon, type Asker } from '../ports/token.js';
import type { Lease } from '../ports/store.js';
import type { Services } from './define.js';

/** A fresh KeyMaterialId: 64 hex digits. */
export const newMaterialId = (services: Services): string => services.random.bytes(32).toString('hex');

/**
 * Generates the material that `key.pendingMaterialId` announces and records it as current. `nothingMade` is called before it fails, when the
 * token has certainly made nothing.
 */
export async function generatePending(
  services: Services,
  key: Key,
  asker: Asker,
  nothingMade: () => Promise<void> = () => Promise.resolve(),
): Promise<Key> {
  const materialId = key.pendingMaterialId;
  if (materialId === undefined) throw new Error('no material was announced');
  try {
    await services.tokens.of(key, asker).generateKey(ckaIdOf(materialId), keySpecRow(key.spec).token);
  } catch (error) {
    if (isNothingMade(error)) await nothingMade();
    throw error;
  }
  return adopt(services, key, materialId);
}

/** What was refused for the number of requests never reached the token. */
const isNothingMade = (error: unknown): boolean =>
  error instanceof NothingMade || (error instanceof BridgeError && error.code === 'ThrottlingException');

/** Has the token the material that the row only announces? Asked by the daemon for itself. */
export async function isPendingMade(services: Services, key: Key): Promise<boolean> {
  const materialId = key.pendingMaterialId;
  return materialId !== undefined && services.tokens.of(key, theDaemon).holds(ckaIdOf(materialId));
}

/** Records announced material as current. It may be repeated after a crash. */
export async function adopt(services: Services, key: Key, materialId: string, lease?: Lease): Promise<Key> {
  const { strategy } = keySpecRow(key.spec);
  const backingKey: BackingKey = { materialId, strategy, createdAtMs: services.clock.now() };
  const adopted = (row: Key): Key => {
    if (row.pendingMaterialId !== materialId) return row;
    return {
      ...row,
      status: row.status === 'creating' ? 'enabled' : row.status,
      backingKeys: [...row.backingKeys, backingKey],
      pendingMaterialId: undefined,
    };
  };
  return services.store.keys.update(key, adopted, lease);
}

/** CKA_IDs of every generation of a key's material, an announced one too. */
export function materialOf(key: Key): Buffer[] {
  const ids = key.backingKeys.map((backing) => ckaIdOf(backing.materialId));
  return key.pendingMaterialId === undefined ? ids : [...ids, ckaIdOf(key.pendingMaterialId)];
}

/** Lets the token know of a deletion that the key's account has asked for. KMSInvalidStateException when it cannot record any. */
export async function recordDeletion(services: Services, key: Key, deletionAtMs: number): Promise<void> {
  if (await services.tokens.of(key, key.accountId).scheduleDestruction(materialOf(key), deletionAtMs)) return;
  throw new BridgeError(
    'KMSInvalidStateException',
    `${arnOfKey(key)} is in a token that cannot record a deletion: disable the key instead.`,
  );
}

/**
 * Gives an enabled key a further generation; ciphertexts of the older ones stay readable. What an earlier attempt announced and the token
 * made is taken; what it did not make is never made again: a generation that was not answered may happen yet, and two objects of one
 * CKA_ID would be two keys. The daemon does it for itself, whoever's call it came with, and while it
 * holds the lease for it.
 */
export async function rotate(services: Services, key: Key, lease: Lease): Promise<Key> {
  const earlier = key.pendingMaterialId;
  if (earlier !== undefined && (await isPendingMade(services, key))) return adopt(services, key, earlier);
  const announced = await services.store.keys.update(
    key,
    (row) => ({ ...row, pendingMaterialId: newMaterialId(services), life: services.life }),
    lease,
  );
  return generatePending(services, announced, theDaemon);
}
