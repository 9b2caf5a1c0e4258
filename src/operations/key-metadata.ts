// KeyMetadata as CreateKey and DescribeKey answer it.
import { arnOfKey, keyState, type Key } from '../model/key.js';

/** AWS prints timestamps as seconds with a fraction. */
export const epochSeconds = (ms: number): number => ms / 1000;

export function keyMetadata(key: Key): Readonly<Record<string, unknown>> {
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

const cloudTrailFormat = new Intl.DateTimeFormat('en-US', {
  dateStyle: 'medium',
  timeStyle: 'medium',
  timeZone: 'UTC',
});

/** A response as CloudTrail prints it: dates in words (`Aug 10, 2022, 10:38:27 PM`). */
export function withCloudTrailDates(response: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const printed: Record<string, unknown> = { ...response };
  for (const [name, value] of Object.entries(response)) {
    // ICU puts a narrow space before AM and PM.
    if (name.endsWith('Date') && typeof value === 'number') {
      printed[name] = cloudTrailFormat.format(value * 1000).replaceAll('\u202f', ' ');
    }
  }
  return printed;
}
