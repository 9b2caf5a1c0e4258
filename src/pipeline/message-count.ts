// Counts the messages each backing key encrypts and rotates it long before 2^32 of them (NIST SP 800-38D §8.3: at most 2^32
// invocations with random 96-bit IVs). The total is durable before the messages are: a crash loses count of none.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, currentBackingKey, type Key } from '../model/key.js';
import { rotate } from '../operations/backing-key.js';
import type { Services } from '../operations/define.js';
import { audited, ofKey } from './service-event.js';

/** Keys whose blocks are remembered, about 130 bytes each. One that is forgotten loses the rest of its block: it rotates a little earlier. */
const maxRemembered = 32_768;
/** Messages reserved at a time, at most. */
const block = 2 ** 20;
/** And for a key that was not in use here; then sixteen times as many each time: one of very many keys, used now and then, loses little. */
const firstBlock = 2 ** 12;
const growth = 16;
const hardLimit = 2 ** 32;
/** Above this a rotation is tried; below the hard limit there is room for 64 blocks while another process does it. */
const softLimit = hardLimit - 64 * block;

type Counting = Omit<Services, 'countMessage'>;

/** Returns the key as it is to be used: itself, or with a newer backing key. */
export function createMessageCount(services: Counting): (key: Key) => Promise<Key> {
  const left = new Map<string, { messages: number; readonly block: number }>();
  const reserving = new Map<string, Promise<Key>>();
  const countMessage = async (key: Key): Promise<Key> => {
    const { materialId } = currentBackingKey(key);
    const remaining = left.get(materialId);
    if (remaining !== undefined && remaining.messages > 0) {
      remaining.messages -= 1;
      return key;
    }
    let reservation = reserving.get(materialId);
    if (reservation === undefined) {
      reservation = reserve(materialId, key).finally(() => reserving.delete(materialId));
      reserving.set(materialId, reservation);
    }
    return countMessage(await reservation);
  };
  const reserve = async (materialId: string, key: Key): Promise<Key> => {
    const before = left.get(materialId);
    const messages = before === undefined ? firstBlock : Math.min(block, before.block * growth);
    const total = await services.store.usage.reserve(materialId, messages);
    const rotated = total > softLimit ? await tryRotate({ ...services, countMessage }, key) : undefined;
    if (rotated !== undefined) return rotated;
    if (total > hardLimit) {
      throw new BridgeError('KMSInternalException', 'The key has encrypted as many messages as its material may.');
    }
    const oldest = left.keys().next();
    if (before === undefined && left.size >= maxRemembered && oldest.done !== true) left.delete(oldest.value);
    // To the end of those to be forgotten.
    left.delete(materialId);
    left.set(materialId, { messages, block: messages });
    return key;
  };
  return countMessage;
}

/** Undefined: another gateway is rotating this key, or this one failed to, which is audited; the next block tries again. */
async function tryRotate(services: Services, key: Key): Promise<Key | undefined> {
  const fresh = await services.store.keys.find(key);
  if (fresh === undefined) return undefined;
  if (fresh.pendingMaterialId !== undefined && fresh.life !== services.life) return undefined;
  if (currentBackingKey(fresh).materialId !== currentBackingKey(key).materialId) return fresh;
  const lease = await services.store.leases.take(`rotate:${arnOfKey(key)}`, services.random.uuid(), 60_000);
  if (lease === undefined) return undefined;
  return audited(services, ofKey('RotateKey', fresh), () => rotate(services, fresh, lease)).catch(() => undefined);
}
