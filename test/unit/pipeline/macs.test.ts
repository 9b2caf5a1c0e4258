// HMAC keys on the whole line: what AWS says of them, and what it refuses in which order (usage, state, algorithm).
import * as kms from '@aws-sdk/client-kms';
import { beforeAll, describe, expect, it } from 'vitest';
import { failure, lineOfSuite } from '../../support/line.js';

const { client, other, keyId, keyArn, newKey, encrypt } = await lineOfSuite();

const sizes = ['224', '256', '384', '512'] as const;
const usage = 'GENERATE_VERIFY_MAC';
const Message = Buffer.from('message');
let mac: kms.KeyMetadata;
beforeAll(async () => {
  mac = await newKey({ KeySpec: 'HMAC_256', KeyUsage: usage });
});

const generate = (input: Partial<kms.GenerateMacCommandInput> = {}, by = client) =>
  by.send(new kms.GenerateMacCommand({ KeyId: mac.KeyId, MacAlgorithm: 'HMAC_SHA_256', Message, ...input }));
const verify = (Mac: Uint8Array | undefined, input: Partial<kms.VerifyMacCommandInput> = {}) =>
  client.send(new kms.VerifyMacCommand({ KeyId: mac.KeyId, MacAlgorithm: 'HMAC_SHA_256', Message, Mac, ...input }));

describe('an HMAC key', () => {
  it.each(sizes)('of %s bits says what it is and can do, and no more', async (size) => {
    const made = await newKey({ KeySpec: `HMAC_${size}`, KeyUsage: usage });
    const { KeyMetadata } = await client.send(new kms.DescribeKeyCommand({ KeyId: made.KeyId! }));
    expect(KeyMetadata).toEqual(made);
    expect(KeyMetadata).toMatchObject({
      KeySpec: `HMAC_${size}`,
      CustomerMasterKeySpec: `HMAC_${size}`,
      KeyUsage: usage,
      KeyState: 'Enabled',
      MacAlgorithms: [`HMAC_SHA_${size}`],
    });
    expect(KeyMetadata).not.toHaveProperty('EncryptionAlgorithms');
    // "This value is present only for symmetric encryption keys" (AWS KMS API Reference, KeyMetadata).
    expect(KeyMetadata).not.toHaveProperty('CurrentKeyMaterialId');
  });

  it('is not made without its usage, or with that of another', async () => {
    const create = (input: kms.CreateKeyCommandInput) => failure(client.send(new kms.CreateKeyCommand(input)));
    expect(await create({ KeySpec: 'HMAC_256' })).toBe(
      'ValidationException: You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.',
    );
    expect(await create({ KeySpec: 'HMAC_256', KeyUsage: 'SIGN_VERIFY' })).toBe(
      'ValidationException: KeyUsage SIGN_VERIFY is not compatible with KeySpec HMAC_256',
    );
    expect(await create({ KeyUsage: usage })).toBe(
      `ValidationException: KeyUsage ${usage} is not compatible with KeySpec SYMMETRIC_DEFAULT`,
    );
  });

  it('makes MACs that it verifies, also under an alias', async () => {
    const { Mac, MacAlgorithm, KeyId, ...rest } = await generate();
    expect({ MacAlgorithm, KeyId }).toEqual({ MacAlgorithm: 'HMAC_SHA_256', KeyId: mac.Arn });
    expect(Object.keys(rest)).toEqual(['$metadata']);
    expect(Mac).toHaveLength(32);
    const AliasName = 'alias/mac';
    await client.send(new kms.CreateAliasCommand({ AliasName, TargetKeyId: mac.KeyId! }));
    expect(await verify(Mac, { KeyId: AliasName })).toMatchObject({
      KeyId: mac.Arn,
      MacValid: true,
      MacAlgorithm: 'HMAC_SHA_256',
    });
  });

  it('says of any other MAC that it is invalid, and no more', async () => {
    const Mac = Buffer.from((await generate()).Mac!);
    const changed = Buffer.from(Mac);
    changed.writeUInt8(changed.readUInt8(0) ^ 1, 0);
    for (const wrong of [changed, Mac.subarray(1), Buffer.concat([Mac, Mac]), Buffer.alloc(6144)]) {
      const error: unknown = await verify(wrong).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(kms.KMSInvalidMacException);
      expect((error as kms.KMSInvalidMacException).$metadata.httpStatusCode).toBe(400);
    }
    expect(await failure(verify(Mac, { Message: Buffer.from('other') }))).toMatch(/^KMSInvalidMacException/);
  });

  it('is asked in a dry run whether the MAC is right', async () => {
    const { Mac } = await generate();
    expect(await failure(generate({ DryRun: true }))).toMatch(/^DryRunOperationException/);
    expect(await failure(verify(Mac, { DryRun: true }))).toMatch(/^DryRunOperationException/);
    expect(await failure(verify(Buffer.alloc(32), { DryRun: true }))).toMatch(/^KMSInvalidMacException/);
  });

  it('is closed to other accounts', async () => {
    expect(await failure(generate({ KeyId: mac.Arn }, other))).toMatch(/^AccessDeniedException.*kms:GenerateMac/);
  });
});

describe('a key of another usage or algorithm', () => {
  const invalid = (arn: string | undefined, of: string, operation: string) =>
    `InvalidKeyUsageException: ${arn ?? ''} key usage is ${of} which is not valid for ${operation}.`;

  it('is refused by its usage', async () => {
    expect(await failure(generate({ KeyId: keyId }))).toBe(invalid(keyArn, 'ENCRYPT_DECRYPT', 'GenerateMac'));
    expect(await failure(verify(Message, { KeyId: keyId }))).toBe(invalid(keyArn, 'ENCRYPT_DECRYPT', 'VerifyMac'));
    const dataKey = { KeyId: mac.KeyId!, NumberOfBytes: 32 };
    expect(await failure(encrypt({ KeyId: mac.KeyId! }))).toBe(invalid(mac.Arn, usage, 'Encrypt'));
    expect(await failure(client.send(new kms.GenerateDataKeyCommand(dataKey)))).toBe(
      invalid(mac.Arn, usage, 'GenerateDataKey'),
    );
    expect(await failure(client.send(new kms.GenerateDataKeyWithoutPlaintextCommand(dataKey)))).toBe(
      invalid(mac.Arn, usage, 'GenerateDataKeyWithoutPlaintext'),
    );
  });

  it('opens nothing', async () => {
    const { CiphertextBlob } = await encrypt();
    const incorrect =
      'IncorrectKeyException: The key ID in the request does not identify a CMK that can perform this operation.';
    expect(await failure(client.send(new kms.DecryptCommand({ CiphertextBlob, KeyId: mac.KeyId! })))).toBe(incorrect);
    const moved = { CiphertextBlob, SourceKeyId: mac.KeyId!, DestinationKeyId: keyId };
    expect(await failure(client.send(new kms.ReEncryptCommand(moved)))).toBe(incorrect);
    const to = { CiphertextBlob, DestinationKeyId: mac.KeyId! };
    expect(await failure(client.send(new kms.ReEncryptCommand(to)))).toBe(invalid(mac.Arn, usage, 'ReEncrypt'));
  });

  it('is refused by usage, then state, then algorithm', async () => {
    const closed = await newKey({ KeySpec: 'HMAC_512', KeyUsage: usage });
    await client.send(new kms.DisableKeyCommand({ KeyId: closed.KeyId! }));
    expect(await failure(encrypt({ KeyId: closed.KeyId! }))).toBe(invalid(closed.Arn, usage, 'Encrypt'));
    expect(await failure(generate({ KeyId: closed.KeyId! }))).toBe(
      `DisabledException: ${closed.Arn ?? ''} is disabled.`,
    );
    await client.send(new kms.EnableKeyCommand({ KeyId: closed.KeyId! }));
    const text = 'InvalidKeyUsageException: Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_512.';
    expect(await failure(generate({ KeyId: closed.KeyId! }))).toBe(text);
    expect(await failure(verify(Message, { KeyId: closed.KeyId! }))).toBe(text);
  });
});
