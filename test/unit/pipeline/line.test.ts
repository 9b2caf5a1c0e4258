// The line end to end in one process, driven by the unmodified AWS SDK over HTTP; expected texts are AWS's recorded answers.
import * as kms from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { BridgeError } from '../../../src/kernel/errors.js';
import { accounts, region, startLine, type TestLine } from '../../support/line.js';

let line: TestLine;
let client: kms.KMSClient;
let other: kms.KMSClient;
let keyId: string;
let keyArn: string;

beforeAll(async () => {
  line = await startLine();
  client = line.client();
  other = line.client(accounts.second);
  ({ KeyId: keyId, Arn: keyArn } = (await newKey()) as { KeyId: string; Arn: string });
});

afterAll(() => line.close());

async function newKey(input: kms.CreateKeyCommandInput = {}, by = client): Promise<kms.KeyMetadata> {
  return (await by.send(new kms.CreateKeyCommand(input))).KeyMetadata!;
}

/** Name and message of the error that a call ends in. */
async function failure(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no error',
    (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error)),
  );
}

const plaintext = Buffer.from('열쇠는 토큰 안에서 태어난다');
const encrypt = (input: Partial<kms.EncryptCommandInput> = {}, by = client) =>
  by.send(new kms.EncryptCommand({ KeyId: keyId, Plaintext: plaintext, ...input }));
const decrypt = (input: kms.DecryptCommandInput, by = client) => by.send(new kms.DecryptCommand(input));

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
    expect(await describeKey('arn:aws:nothing')).toMatch(/^InvalidArnException/);
    const foreign = await describeKey(keyArn, other);
    expect(foreign).toMatch(
      /^AccessDeniedException: User: arn:aws:iam::111122223333:root is not authorized to perform: kms:DescribeKey on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access$/,
    );
    expect(await describeKey(keyArn.replace(keyId, missing), other)).toBe(foreign);
  });
});

describe('cryptography', () => {
  it('round-trips with every form of KeyId', async () => {
    const AliasName = 'alias/forms';
    await client.send(new kms.CreateAliasCommand({ AliasName, TargetKeyId: keyArn }));
    for (const form of [keyId, keyArn, AliasName, `arn:aws:kms:${region}:${accounts.first}:${AliasName}`]) {
      const { CiphertextBlob, KeyId, EncryptionAlgorithm } = await encrypt({ KeyId: form });
      expect([KeyId, EncryptionAlgorithm]).toEqual([keyArn, 'SYMMETRIC_DEFAULT']);
      const opened = await decrypt({ CiphertextBlob, KeyId: form });
      expect(Buffer.from(opened.Plaintext!).toString()).toBe(plaintext.toString());
      expect(opened.KeyMaterialId).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  it('finds the key from the ciphertext and binds the encryption context', async () => {
    const EncryptionContext = { 서비스: '결제', b: '2', __proto__: 'x' };
    const { CiphertextBlob } = await encrypt({ EncryptionContext });
    expect((await decrypt({ CiphertextBlob, EncryptionContext })).KeyId).toBe(keyArn);
    for (const wrong of [{}, { 서비스: '결제' }, { 서비스: '결제', B: '2' }]) {
      expect(await failure(decrypt({ CiphertextBlob, EncryptionContext: wrong }))).toMatch(
        /^InvalidCiphertextException/,
      );
    }
  });

  it('refuses damaged, truncated and foreign ciphertexts', async () => {
    const blob = Buffer.from((await encrypt()).CiphertextBlob!);
    for (const at of [0, 1, 5, 20, 25, 40, blob.length - 1]) {
      const changed = Buffer.from(blob);
      changed[at] = changed[at]! ^ 1;
      expect(await failure(decrypt({ CiphertextBlob: changed }))).toMatch(/^InvalidCiphertextException/);
    }
    expect(await failure(decrypt({ CiphertextBlob: blob.subarray(0, 30) }))).toMatch(/^InvalidCiphertextException/);
    const { KeyId } = await newKey();
    expect(await failure(decrypt({ CiphertextBlob: blob, KeyId }))).toBe(
      'IncorrectKeyException: The key ID in the request does not identify a CMK that can perform this operation.',
    );
    expect(await failure(decrypt({ CiphertextBlob: blob }, other))).toMatch(
      /^AccessDeniedException: User: .* is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because the resource does not exist/,
    );
    expect(await failure(decrypt({ CiphertextBlob: undefined }))).toMatch(/at 'ciphertextBlob' .* must not be null/);
  });

  it('re-encrypts under another key and context', async () => {
    const destination = await newKey();
    const { CiphertextBlob } = await encrypt({ EncryptionContext: { a: '1' } });
    const answer = await client.send(
      new kms.ReEncryptCommand({
        CiphertextBlob,
        SourceEncryptionContext: { a: '1' },
        DestinationKeyId: destination.KeyId!,
        DestinationEncryptionContext: { b: '2' },
      }),
    );
    expect(answer).toMatchObject({
      SourceKeyId: keyArn,
      KeyId: destination.Arn,
      DestinationKeyMaterialId: destination.CurrentKeyMaterialId,
      SourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
    });
    const opened = await decrypt({ CiphertextBlob: answer.CiphertextBlob, EncryptionContext: { b: '2' } });
    expect([opened.KeyId, Buffer.from(opened.Plaintext!)]).toEqual([destination.Arn, plaintext]);
  });

  it('makes data keys and random bytes', async () => {
    const made = await client.send(new kms.GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_256' }));
    expect(made.Plaintext).toHaveLength(32);
    expect((await decrypt({ CiphertextBlob: made.CiphertextBlob })).Plaintext).toEqual(made.Plaintext);
    const without = await client.send(
      new kms.GenerateDataKeyWithoutPlaintextCommand({ KeyId: keyId, NumberOfBytes: 64 }),
    );
    expect(without).not.toHaveProperty('Plaintext');
    expect((await decrypt({ CiphertextBlob: without.CiphertextBlob })).Plaintext).toHaveLength(64);
    expect((await client.send(new kms.GenerateRandomCommand({ NumberOfBytes: 1024 }))).Plaintext).toHaveLength(1024);
    expect(await failure(client.send(new kms.GenerateRandomCommand({})))).toBe(
      'ValidationException: NumberOfBytes is required.',
    );
    expect(await failure(client.send(new kms.GenerateDataKeyCommand({ KeyId: keyId })))).toMatch(
      /^ValidationException/,
    );
    const both = new kms.GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_128', NumberOfBytes: 16 });
    expect(await failure(client.send(both))).toMatch(/^ValidationException/);
  });

  it('answers DryRun without doing anything', async () => {
    const dry = 'DryRunOperationException: The request would have succeeded, but the DryRun option is set.';
    expect(await failure(encrypt({ DryRun: true }))).toBe(dry);
    const ignoring = { DryRun: true, DryRunModifiers: ['IGNORE_CIPHERTEXT' as const], KeyId: keyId };
    expect(await failure(decrypt({ CiphertextBlob: undefined, ...ignoring }))).toBe(dry);
    const disabled = await newKey();
    await client.send(new kms.DisableKeyCommand({ KeyId: disabled.KeyId }));
    expect(await failure(encrypt({ KeyId: disabled.KeyId, DryRun: true }))).toMatch(/^DisabledException/);
  });

  it('checks algorithm, size and grant tokens', async () => {
    expect(await failure(encrypt({ EncryptionAlgorithm: 'RSAES_OAEP_SHA_1' }))).toBe(
      'InvalidKeyUsageException: Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT.',
    );
    expect(await failure(encrypt({ Plaintext: Buffer.alloc(4097) }))).toBe(
      "ValidationException: 1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096",
    );
    await encrypt({ Plaintext: Buffer.alloc(4096) });
    expect(await failure(encrypt({ GrantTokens: ['x'] }))).toMatch(/^InvalidGrantTokenException/);
  });
});

describe('aliases, tags, policies', () => {
  it('creates, moves, lists and deletes aliases', async () => {
    const [a, b] = [await newKey(), await newKey()];
    const AliasName = 'alias/moving';
    await client.send(new kms.CreateAliasCommand({ AliasName, TargetKeyId: a.KeyId }));
    expect(await failure(client.send(new kms.CreateAliasCommand({ AliasName, TargetKeyId: b.KeyId })))).toMatch(
      /^AlreadyExistsException: An alias with the name arn:aws:kms:.*:alias\/moving already exists$/,
    );
    await client.send(new kms.UpdateAliasCommand({ AliasName, TargetKeyId: b.KeyId }));
    await client.send(new kms.ScheduleKeyDeletionCommand({ KeyId: b.KeyId }));
    await client.send(new kms.UpdateAliasCommand({ AliasName, TargetKeyId: a.KeyId }));
    expect(await failure(client.send(new kms.UpdateAliasCommand({ AliasName, TargetKeyId: b.KeyId })))).toBe(
      `KMSInvalidStateException: ${b.Arn!} is pending deletion.`,
    );
    await client.send(new kms.CancelKeyDeletionCommand({ KeyId: b.KeyId }));
    await client.send(new kms.UpdateAliasCommand({ AliasName, TargetKeyId: b.KeyId }));
    const { Aliases } = await client.send(new kms.ListAliasesCommand({ KeyId: b.KeyId }));
    expect(Aliases).toMatchObject([{ AliasName, TargetKeyId: b.KeyId }]);
    await client.send(new kms.DeleteAliasCommand({ AliasName }));
    expect(await failure(client.send(new kms.DeleteAliasCommand({ AliasName })))).toMatch(
      /^NotFoundException: Alias .* is not found\.$/,
    );
    expect(
      await failure(client.send(new kms.CreateAliasCommand({ AliasName: 'alias/aws/x', TargetKeyId: a.KeyId }))),
    ).toMatch(/^InvalidAliasNameException/);
    expect(await failure(client.send(new kms.CreateAliasCommand({ AliasName: 'x', TargetKeyId: a.KeyId })))).toMatch(
      /^ValidationException/,
    );
  });

  it('tags and untags', async () => {
    const { KeyId } = await newKey();
    await client.send(
      new kms.TagResourceCommand({
        KeyId,
        Tags: [
          { TagKey: 'b', TagValue: '1' },
          { TagKey: 'a', TagValue: '2' },
        ],
      }),
    );
    await client.send(new kms.TagResourceCommand({ KeyId, Tags: [{ TagKey: 'b', TagValue: '3' }] }));
    const tags = async () => await client.send(new kms.ListResourceTagsCommand({ KeyId, Limit: 1 }));
    expect(await tags()).toMatchObject({ Tags: [{ TagKey: 'a', TagValue: '2' }], Truncated: true });
    await client.send(new kms.UntagResourceCommand({ KeyId, TagKeys: ['a'] }));
    expect(await tags()).toMatchObject({ Tags: [{ TagKey: 'b', TagValue: '3' }], Truncated: false });
    const tag = (Tags: kms.Tag[]) => failure(client.send(new kms.TagResourceCommand({ KeyId, Tags })));
    expect(
      await tag([
        { TagKey: 'x', TagValue: '' },
        { TagKey: 'x', TagValue: '' },
      ]),
    ).toBe('TagException: Duplicate tag keys');
    expect(await tag([{ TagKey: 'aws:x', TagValue: '' }])).toBe('TagException: Tags beginning with aws: are reserved');
    expect(await tag([{ TagKey: '', TagValue: '' }])).toMatch(/Value '' at 'tags\.1\.member\.tagKey' failed/);
  });

  it('gives the default policy and obeys a written one', async () => {
    const { Policy, PolicyName } = await client.send(new kms.GetKeyPolicyCommand({ KeyId: keyId }));
    expect(PolicyName).toBe('default');
    expect(JSON.parse(Policy!)).toEqual({
      Version: '2012-10-17',
      Id: 'key-default-1',
      Statement: [
        {
          Sid: 'Enable IAM User Permissions',
          Effect: 'Allow',
          Principal: { AWS: `arn:aws:iam::${accounts.first}:root` },
          Action: 'kms:*',
          Resource: '*',
        },
      ],
    });
    expect((await client.send(new kms.ListKeyPoliciesCommand({ KeyId: keyId }))).PolicyNames).toEqual(['default']);

    const statement = (Effect: string, AWS: string, Action: string | string[]) => ({
      Effect,
      Principal: { AWS },
      Action,
      Resource: '*',
    });
    const written = JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        statement('Allow', accounts.first, 'kms:*'),
        statement('Allow', `arn:aws:iam::${accounts.second}:root`, ['kms:Encrypt', 'kms:DisableKey']),
        statement('Deny', '*', 'kms:ReEncrypt*'),
      ],
    });
    const shared = await newKey({ Policy: written });
    const { CiphertextBlob } = await encrypt({ KeyId: shared.Arn }, other);
    expect((await decrypt({ CiphertextBlob })).KeyId).toBe(shared.Arn);
    expect(await failure(decrypt({ CiphertextBlob }, other))).toMatch(/^AccessDeniedException/);
    expect(await failure(other.send(new kms.DisableKeyCommand({ KeyId: shared.Arn })))).toMatch(
      /^AccessDeniedException/,
    );
    const denied = failure(client.send(new kms.ReEncryptCommand({ CiphertextBlob, DestinationKeyId: keyId })));
    expect(await denied).toMatch(
      /kms:ReEncryptFrom on the resource associated with this ciphertext with an explicit deny in a resource-based policy$/,
    );
  });

  it('refuses policies that lock out or cannot be evaluated', async () => {
    const policy = (statement: object) =>
      failure(newKey({ Policy: JSON.stringify({ Version: '2012-10-17', Statement: [statement] }) }));
    const root = { AWS: `arn:aws:iam::${accounts.first}:root` };
    expect(await policy({ Effect: 'Allow', Principal: root, Action: 'kms:Encrypt', Resource: '*' })).toBe(
      'MalformedPolicyDocumentException: The new key policy will not allow you to update the key policy in the future.',
    );
    const unknown = {
      Effect: 'Allow',
      Principal: root,
      Action: 'kms:*',
      Resource: '*',
      Condition: { Bool: { 'aws:SecureTransport': 'true' } },
    };
    expect(await policy(unknown)).toMatch(/^MalformedPolicyDocumentException/);
    expect(
      await policy({ Effect: 'Allow', Principal: { AWS: 'arn:aws:iam::1:user/x' }, Action: '*', Resource: '*' }),
    ).toBe('MalformedPolicyDocumentException: Policy contains a statement with one or more invalid principals.');
    expect(await failure(newKey({ Policy: '{' }))).toMatch(/^MalformedPolicyDocumentException/);
  });
});

describe('audit', () => {
  it('has one record a call, an intent before each change, and no secret', async () => {
    const before = line.audit.records.length;
    const { KeyId, Arn } = await newKey({ Description: 'audited' });
    const { CiphertextBlob } = await encrypt({ KeyId, EncryptionContext: { a: 'b' } });
    await decrypt({ CiphertextBlob, EncryptionContext: { a: 'b' } });
    await failure(decrypt({ CiphertextBlob }));
    const records = line.audit.records.slice(before);
    expect(records.map(({ kind, record }) => [kind, record['eventName'], record['errorCode']])).toEqual([
      ['intent', 'CreateKey', undefined],
      ['event', 'CreateKey', undefined],
      ['event', 'Encrypt', undefined],
      ['event', 'Decrypt', undefined],
      ['event', 'Decrypt', 'InvalidCiphertextException'],
    ]);
    expect(records[1]!.record['responseElements']).toMatchObject({
      keyMetadata: {
        keyId: KeyId,
        keyState: 'Enabled',
        creationDate: expect.stringMatching(/^[A-Z][a-z]{2} \d+, \d{4}, \d+:\d\d:\d\d [AP]M$/) as string,
      },
    });
    expect(records[0]!.record['requestID']).toBe(records[1]!.record['requestID']);
    expect(records[2]!.record).toMatchObject({
      eventSource: 'kms.amazonaws.com',
      awsRegion: region,
      sourceIPAddress: '127.0.0.1',
      userIdentity: { type: 'Root', accountId: accounts.first, arn: `arn:aws:iam::${accounts.first}:root` },
      requestParameters: { keyId: KeyId, encryptionAlgorithm: 'SYMMETRIC_DEFAULT', encryptionContext: { a: 'b' } },
      responseElements: null,
      readOnly: true,
      resources: [{ accountId: accounts.first, type: 'AWS::KMS::Key', ARN: Arn }],
      recipientAccountId: accounts.first,
    });
    expect(records[3]!.record['additionalEventData']).toHaveProperty('keyMaterialId');
    const text = JSON.stringify(records);
    for (const secret of [
      plaintext.toString(),
      plaintext.toString('base64'),
      Buffer.from(CiphertextBlob!).toString('base64'),
    ]) {
      expect(text).not.toContain(secret);
    }
  });

  it('fails closed: nothing is done and nothing leaves when it cannot be written', async () => {
    line.audit.writable = false;
    const objects = line.token(region).objects.size;
    expect(await failure(newKey())).toMatch(/^KMSInternalException: The audit log cannot be written/);
    expect(await failure(encrypt())).toMatch(/^KMSInternalException/);
    expect(line.token(region).objects.size).toBe(objects);
    line.audit.writable = true;
    await encrypt();
  });
});

describe('hostile requests', () => {
  const post = async (body: string | Buffer, headers: Record<string, string> = {}, path = '/') => {
    const response = await fetch(line.endpoint + path, { method: 'POST', body, headers });
    return { status: response.status, body: (await response.json()) as { __type: string } };
  };

  it('serves nobody without a signature, and audits it', async () => {
    const before = line.audit.records.length;
    expect(await post('{}', { 'x-amz-target': 'TrentService.ListKeys' })).toMatchObject({
      status: 400,
      body: { __type: 'MissingAuthenticationTokenException' },
    });
    expect(await post('{}', { authorization: 'AWS4-HMAC-SHA256 x' })).toMatchObject({
      body: { __type: 'IncompleteSignatureException' },
    });
    expect(await post('{}', {}, '/?X-Amz-Signature=1')).toMatchObject({
      body: { __type: 'UnknownOperationException' },
    });
    expect(line.audit.records.slice(before).map(({ record }) => record['errorCode'])).toEqual([
      'MissingAuthenticationTokenException',
      'IncompleteSignatureException',
      'UnknownOperationException',
    ]);
  });

  it('refuses unknown keys, wrong secrets, Regions and clocks', async () => {
    const as = (accessKeyId: string, secretAccessKey: string, inRegion = region) => {
      const sdk = new kms.KMSClient({
        endpoint: line.endpoint,
        region: inRegion,
        credentials: { accessKeyId, secretAccessKey },
        maxAttempts: 1,
      });
      return failure(sdk.send(new kms.ListKeysCommand({}))).finally(() => sdk.destroy());
    };
    expect(await as('AKIANOBODY', 'x')).toBe(
      'UnrecognizedClientException: The security token included in the request is invalid.',
    );
    expect(await as(`AKIA${accounts.first}`, 'wrong')).toMatch(
      /^InvalidSignatureException: The request signature we calculated/,
    );
    expect(await as(`AKIA${accounts.first}`, `secret-of-${accounts.first}`, 'eu-north-1')).toMatch(/valid region/);
    line.clock.offsetMs = 6 * 60_000;
    expect(await failure(client.send(new kms.ListKeysCommand({})))).toMatch(
      /^InvalidSignatureException: Signature expired: /,
    );
    line.clock.offsetMs = 0;
  });

  it('refuses a body that is too large', async () => {
    expect(await post(Buffer.alloc(1_100_000))).toMatchObject({
      status: 413,
      body: { __type: 'RequestEntityTooLargeException' },
    });
  });
});

describe('a fault of ours', () => {
  it('is told to the operator, not to the caller, and is audited', async () => {
    const spy = vi.spyOn(line.store.keys, 'find').mockRejectedValue(new TypeError('secret detail'));
    const answer = await failure(encrypt());
    spy.mockRestore();
    expect(answer).toBe('KMSInternalException: The request was rejected because of an internal error.');
    expect(line.faults).toEqual([new TypeError('secret detail')]);
    expect(line.audit.records.at(-1)!.record).toMatchObject({
      eventName: 'Encrypt',
      errorCode: 'KMSInternalException',
    });
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

  it('goes on with the old backing key when a rotation fails, tries again with the next block, and leaves no object over', async () => {
    const key = await newKey();
    const token = line.token(region);
    const { generateKey } = token;
    const objects = token.objects.size;
    line.store.usageTotals.set(key.CurrentKeyMaterialId!, 2 ** 32 - 8 * 2 ** 20);
    token.generateKey = async (ckaId) => {
      // The object was made, and the answer was lost.
      await generateKey(ckaId);
      throw new BridgeError('DependencyTimeoutException');
    };
    expect(await startCounting(key.KeyId!)).toBe(key.CurrentKeyMaterialId);
    expect(line.audit.records.at(-1)).toMatchObject({
      kind: 'event',
      record: { eventName: 'RotateKey', errorCode: 'DependencyTimeoutException' },
    });
    expect(await startCounting(key.KeyId!)).toBe(key.CurrentKeyMaterialId);
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
