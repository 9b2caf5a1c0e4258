// Keys: their states, their KeyId's forms, and the message count; expected texts are AWS's recorded answers.
import * as kms from '@aws-sdk/client-kms';
import { describe, expect, it } from 'vitest';
import { BridgeError } from '../../../src/kernel/errors.js';
import { createMessageCount } from '../../../src/pipeline/message-count.js';
import { accounts, failure, lineOfSuite, region } from '../../support/line.js';

const { line, client, other, keyId, keyArn, newKey, encrypt, decrypt } = await lineOfSuite();

describe('keys', () => {
  it('describes what CreateKey made', async () => {
    const made = await newKey({ Description: 'd', Tags: [{ TagKey: 'team', TagValue: 'a' }] });
    const { KeyMetadata } = await client.send(new kms.DescribeKeyCommand({ KeyId: made.Arn! }));
    expect(KeyMetadata).toEqual(made);
    expect(made).toMatchObject({
      AWSAccountId: accounts.first,
      Arn: `arn:aws:kms:${region}:${accounts.first}:key/${made.KeyId!}`,
      Enabled: true,
      Description: 'd',
      KeyUsage: 'ENCRYPT_DECRYPT',
      KeyState: 'Enabled',
      Origin: 'AWS_KMS',
      KeyManager: 'CUSTOMER',
      CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
      KeySpec: 'SYMMETRIC_DEFAULT',
      EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
      MultiRegion: false,
    });
    expect(made.CurrentKeyMaterialId).toMatch(/^[0-9a-f]{64}$/);
    expect(made.CreationDate).toBeInstanceOf(Date);
  });

  it('lists every key over pages', async () => {
    const found = [];
    for await (const page of kms.paginateListKeys({ client, pageSize: 1 }, {}))
      found.push(...page.Keys!.map((key) => key.KeyArn));
    expect(found).toContain(keyArn);
    expect(new Set(found).size).toBe(found.length);
    expect(await failure(client.send(new kms.ListKeysCommand({ Marker: 'forged' })))).toMatch(
      /^InvalidMarkerException/,
    );
  });

  it('follows the states of a key', async () => {
    const { KeyId, Arn } = await newKey();
    const state = async () => (await client.send(new kms.DescribeKeyCommand({ KeyId }))).KeyMetadata!.KeyState;
    await client.send(new kms.DisableKeyCommand({ KeyId }));
    expect(await state()).toBe('Disabled');
    expect(await failure(encrypt({ KeyId }))).toBe(`DisabledException: ${Arn!} is disabled.`);
    await client.send(new kms.EnableKeyCommand({ KeyId }));
    await encrypt({ KeyId });
    const scheduled = await client.send(new kms.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    expect(scheduled).toMatchObject({ KeyId: Arn, KeyState: 'PendingDeletion', PendingWindowInDays: 7 });
    expect(await state()).toBe('PendingDeletion');
    expect(await failure(encrypt({ KeyId }))).toBe(`KMSInvalidStateException: ${Arn!} is pending deletion.`);
    expect(await failure(client.send(new kms.EnableKeyCommand({ KeyId })))).toBe(
      `KMSInvalidStateException: ${Arn!} is pending deletion.`,
    );
    expect((await client.send(new kms.CancelKeyDeletionCommand({ KeyId }))).KeyId).toBe(Arn);
    expect(await state()).toBe('Disabled');
    expect(await failure(client.send(new kms.CancelKeyDeletionCommand({ KeyId })))).toMatch(/is not pending deletion/);
    expect(await failure(client.send(new kms.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 3 })))).toMatch(
      /^ValidationException/,
    );
  });

  it('refuses what is not a symmetric key of the token, by name', async () => {
    expect(await failure(newKey({ KeySpec: 'RSA_2048' }))).toMatch(/^ValidationException: You must specify a KeyUsage/);
    expect(await failure(newKey({ KeyUsage: 'SIGN_VERIFY' }))).toBe(
      'ValidationException: KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT',
    );
    expect(await failure(newKey({ KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' }))).toMatch(
      /^UnsupportedOperationException/,
    );
    expect(await failure(newKey({ Origin: 'EXTERNAL' }))).toMatch(/^UnsupportedOperationException/);
    expect(await failure(newKey({ KeySpec: 'NO' as 'RSA_2048' }))).toMatch(
      /^ValidationException: 1 validation error detected: Value 'NO' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: \[RSA_2048, /,
    );
  });

  it('answers for keys that are not there as AWS does', async () => {
    const missing = '00000000-0000-4000-8000-000000000000';
    const describeKey = (KeyId: string, by = client) => failure(by.send(new kms.DescribeKeyCommand({ KeyId })));
    expect(await describeKey('x')).toBe("NotFoundException: Invalid keyId 'x'");
    expect(await describeKey(missing)).toBe(
      `NotFoundException: Key 'arn:aws:kms:${region}:${accounts.first}:key/${missing}' does not exist`,
    );
    expect(await describeKey('alias/none')).toBe(
      `NotFoundException: Alias arn:aws:kms:${region}:${accounts.first}:alias/none is not found.`,
    );
    expect(await describeKey(keyArn.replace(region, 'us-east-1'))).toBe('NotFoundException: Invalid arn us-east-1');
    expect(await describeKey('arn:aws:nothing')).toBe('NotFoundException: Invalid arn arn:aws:nothing');
    expect(await failure(client.send(new kms.EnableKeyCommand({ KeyId: 'arn:aws:nothing' })))).toBe(
      'InvalidArnException: Invalid arn arn:aws:nothing',
    );
    const foreign = await describeKey(keyArn, other);
    expect(foreign).toMatch(
      /^AccessDeniedException: User: arn:aws:iam::111122223333:root is not authorized to perform: kms:DescribeKey on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access$/,
    );
    expect(await describeKey(keyArn.replace(keyId, missing), other)).toBe(foreign);
  });
});

describe('the message count', () => {
  it('rotates the backing key before 2^32 messages, and older ciphertexts stay readable', async () => {
    const key = await newKey();
    const old = await encrypt({ KeyId: key.KeyId });
    line.store.usageTotals.set(key.CurrentKeyMaterialId!, 2 ** 32 - 2 ** 20);
    const fresh = await startCounting(key.KeyId!);
    expect(fresh).not.toBe(key.CurrentKeyMaterialId);
    expect((await decrypt({ CiphertextBlob: old.CiphertextBlob })).KeyMaterialId).toBe(key.CurrentKeyMaterialId);
  });

  it('reserves little for a key that is used now and then, and more for one that goes on', async () => {
    const { CurrentKeyMaterialId, KeyId } = await newKey();
    const key = await line.store.keys.find({ region, accountId: accounts.first, keyId: KeyId! });
    const countMessage = createMessageCount(line.services);
    const count = async (messages: number): Promise<number | undefined> => {
      for (let i = 0; i < messages; i += 1) await countMessage(key!);
      return line.store.usageTotals.get(CurrentKeyMaterialId!);
    };
    expect(await count(1)).toBe(2 ** 12);
    expect(await count(2 ** 12)).toBe(2 ** 12 + 2 ** 16);
    expect(await count(2 ** 16)).toBe(2 ** 12 + 2 ** 16 + 2 ** 20);
  });

  it('goes on with the old backing key when a rotation fails, tries again with the next block, and leaves no object over', async () => {
    const key = await newKey();
    const token = line.token(region);
    const { generateKey } = token;
    const objects = token.objects.size;
    line.store.usageTotals.set(key.CurrentKeyMaterialId!, 2 ** 32 - 8 * 2 ** 20);
    token.generateKey = async (ckaId, kind) => {
      // The object was made, and the answer was lost.
      await generateKey(ckaId, kind);
      throw new BridgeError('DependencyTimeoutException');
    };
    expect(await startCounting(key.KeyId!)).toBe(key.CurrentKeyMaterialId);
    expect(line.audit.records.at(-1)).toMatchObject({
      kind: 'event',
      record: { eventName: 'RotateKey', errorCode: 'DependencyTimeoutException' },
    });
    token.generateKey = generateKey;
    expect(await startCounting(key.KeyId!)).not.toBe(key.CurrentKeyMaterialId);
    expect(token.objects.size).toBe(objects + 1);
  });

  async function startCounting(KeyId: string): Promise<string> {
    const { createMessageCount } = await import('../../../src/pipeline/message-count.js');
    const count = createMessageCount(line.services);
    const row = await line.store.keys.find({ region, accountId: accounts.first, keyId: KeyId });
    return (await count(row!)).backingKeys.at(-1)!.materialId;
  }
});
