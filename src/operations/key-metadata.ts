// KeyMetadata as CreateKey and DescribeKey answer it.
import { arnOfKey, keyState, type Key } from '../model/key.js';
import { algorithmsOf, type KeyUsage } from '../model/key-specs.js';
import { anyNumber, boolean, list, oneOf, required, structure, text, type ValueOf } from '../shapes/shape.js';
import * as member from './members.js';

export const keyMetadataShape = structure({
  AWSAccountId: required(text({ min: 12, max: 12 })),
  KeyId: required(member.keyId),
  Arn: required(member.arn),
  CreationDate: required(member.date),
  Enabled: required(boolean),
  Description: required(member.description),
  KeyUsage: required(member.keyUsage),
  KeyState: required(member.keyState),
  DeletionDate: member.date,
  Origin: required(member.origin),
  KeyManager: required(oneOf(['AWS', 'CUSTOMER'])),
  CustomerMasterKeySpec: required(member.customerMasterKeySpec),
  KeySpec: required(member.keySpec),
  EncryptionAlgorithms: list(member.algorithm, anyNumber),
  MacAlgorithms: list(member.macAlgorithm, anyNumber),
  MultiRegion: required(boolean),
  CurrentKeyMaterialId: member.keyMaterialId,
});

/** A key of another usage has no such list. */
const algorithmsFor = <U extends KeyUsage>({ spec, usage }: Key, listed: U) =>
  usage === listed ? algorithmsOf(spec, listed) : undefined;

export function keyMetadata(key: Key): ValueOf<typeof keyMetadataShape> {
  const state = keyState(key);
  return {
    AWSAccountId: key.accountId,
    KeyId: key.keyId,
    Arn: arnOfKey(key),
    CreationDate: key.createdAtMs,
    Enabled: state === 'Enabled',
    Description: key.description,
    KeyUsage: key.usage,
    KeyState: state,
    DeletionDate: key.deletionAtMs,
    Origin: 'AWS_KMS',
    KeyManager: 'CUSTOMER',
    CustomerMasterKeySpec: key.spec,
    KeySpec: key.spec,
    EncryptionAlgorithms: algorithmsFor(key, 'ENCRYPT_DECRYPT'),
    MacAlgorithms: algorithmsFor(key, 'GENERATE_VERIFY_MAC'),
    MultiRegion: false,
    CurrentKeyMaterialId: key.usage === 'ENCRYPT_DECRYPT' ? key.backingKeys.at(-1)?.materialId : undefined,
  };
}
