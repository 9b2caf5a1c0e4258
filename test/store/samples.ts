// Keys and aliases as the operations write them.
import { randomBytes, randomUUID } from 'node:crypto';
import { defaultKeyStore } from '../../src/model/key-store.js';
import type { Alias, BackingKey, Key } from '../../src/model/key.js';

export const region = 'eu-central-1';
export const accountId = '111122223333';
export const keyStore = defaultKeyStore(region);
export const scope = { region, accountId };

export const backingKey = (materialId = randomBytes(32).toString('hex')): BackingKey => ({
  materialId,
  strategy: 'gcm-host-iv',
  createdAtMs: 1_722_470_400_123,
});

export const ckaIdText = (key: Key): string => key.backingKeys.at(-1)!.materialId.slice(0, 32);

export function sampleKey(over: Partial<Key> = {}): Key {
  return {
    region,
    accountId,
    keyId: randomUUID(),
    keyStore: undefined,
    status: 'enabled',
    materialMissing: false,
    spec: 'SYMMETRIC_DEFAULT',
    usage: 'ENCRYPT_DECRYPT',
    description: 'Schlüssel für „Löhne“ 🔑',
    createdAtMs: 1_722_470_400_123,
    deletionAtMs: undefined,
    policy: '{"Version":"2012-10-17","Statement":[]}\n',
    tags: [{ TagKey: 'team', TagValue: "o'brien; --" }],
    backingKeys: [backingKey()],
    pendingMaterialId: undefined,
    life: '5f0e8f0a-3c57-4d8f-9c8e-2f6f7a1b2c3d',
    ...over,
  };
}

export function sampleAlias(keyId: string, over: Partial<Alias> = {}): Alias {
  const at = 1_722_470_400_456;
  return { region, accountId, aliasName: 'alias/payroll', keyId, createdAtMs: at, updatedAtMs: at, ...over };
}
