// KeyMetadata as CreateKey and DescribeKey answer it.
import { arnOfKey, keyState, type Key } from '../model/key.js';

/** AWS prints timestamps as seconds with a fraction. */
export const epochSeconds = (ms: number): number => ms / 1000;

export function keyMetadata(key: Key): object {
  const state = keyState(key);
  return {
    AWSAccountId: key.accountId,
    KeyId: key.keyId,
    Arn: arnOfKey(key),
    CreationDate: epochSeconds(key.createdAtMs),
    Enabled: state === 'Enabled',
    Description: key.description,
    KeyUsage: key.usage,
    KeyState: state,
    ...(key.deletionAtMs === undefined ? {} : { DeletionDate: epochSeconds(key.deletionAtMs) }),
    Origin: 'AWS_KMS',
    KeyManager: 'CUSTOMER',
    CustomerMasterKeySpec: key.spec,
    KeySpec: key.spec,
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    MultiRegion: false,
    CurrentKeyMaterialId: key.backingKeys.at(-1)?.materialId,
  };
}
