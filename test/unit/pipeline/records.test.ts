// What the log says of each operation, beside CloudTrail's own records of AWS KMS (Developer Guide, "Logging AWS KMS API calls"), and that
// nobody can make a call whose record no longer says who was granted what.
import { createHash } from 'node:crypto';
import * as kms from '@aws-sdk/client-kms';
import { describe, expect, it } from 'vitest';
import { mostRecordBytes } from '../../../src/model/audit-record.js';
import { operations } from '../../../src/operations/index.js';
import { accounts, failure, lineOfSuite, region } from '../../support/line.js';

const { line, client, keyId, keyArn, newKey, encrypt } = await lineOfSuite();

type Fields = Record<string, unknown>;
const accountId = accounts.first;
const keyResource = (ARN: string) => ({ accountId, type: 'AWS::KMS::Key', ARN });
const aliasResource = (name: string) => ({
  accountId,
  type: 'AWS::KMS::Alias',
  ARN: `arn:aws:kms:${region}:${accountId}:${name}`,
});

/** Any command: the types of the SDK's do not go together. */
const send = (command: object): Promise<object> => client.send(command as never);

const seen = new Set<string>();

/** The records of one call, its intent first. */
async function recordsOf(call: () => Promise<unknown>): Promise<Fields[]> {
  const before = line.audit.records.length;
  await call();
  const records = line.audit.records.slice(before).map(({ record }) => record);
  for (const { eventName } of records) seen.add(String(eventName));
  return records;
}

/** The four fields that are an operation's own. */
async function eventOf(call: () => Promise<unknown>): Promise<Fields> {
  const event = (await recordsOf(call)).at(-1)!;
  const { requestParameters, responseElements, additionalEventData, resources, errorCode } = event;
  expect(errorCode).toBeUndefined();
  return { requestParameters, responseElements, additionalEventData, resources };
}

const onKey = { resources: [keyResource(keyArn)], additionalEventData: undefined };
const changed = { ...onKey, responseElements: { keyId: keyArn } };
const read = { ...onKey, responseElements: null };
const symmetric = 'SYMMETRIC_DEFAULT';

describe('changes of a key', () => {
  it('name it in responseElements, and answer nothing', async () => {
    const AliasName = 'alias/recorded';
    const other = await newKey();
    const create = new kms.CreateAliasCommand({ AliasName, TargetKeyId: keyId });
    expect(await eventOf(async () => expect(bodyOf(await client.send(create))).toEqual({}))).toEqual({
      ...changed,
      requestParameters: { aliasName: AliasName, targetKeyId: keyId },
      resources: [aliasResource(AliasName), keyResource(keyArn)],
    });
    const update = new kms.UpdateAliasCommand({ AliasName, TargetKeyId: other.KeyId! });
    expect(await eventOf(async () => expect(bodyOf(await client.send(update))).toEqual({}))).toEqual({
      ...changed,
      requestParameters: { aliasName: AliasName, targetKeyId: other.KeyId },
      responseElements: { keyId: other.Arn },
      resources: [aliasResource(AliasName), keyResource(other.Arn!), keyResource(keyArn)],
    });
    const remove = new kms.DeleteAliasCommand({ AliasName });
    expect(await eventOf(async () => expect(bodyOf(await client.send(remove))).toEqual({}))).toEqual({
      ...changed,
      requestParameters: { aliasName: AliasName },
      responseElements: { keyId: other.Arn },
      resources: [aliasResource(AliasName), keyResource(other.Arn!)],
    });
  });

  it.each<[object, object]>([
    [new kms.DisableKeyCommand({ KeyId: keyId }), { keyId }],
    [new kms.EnableKeyCommand({ KeyId: keyId }), { keyId }],
    [new kms.UpdateKeyDescriptionCommand({ KeyId: keyArn, Description: 'd' }), { keyId: keyArn, description: 'd' }],
    [
      new kms.TagResourceCommand({ KeyId: keyId, Tags: [{ TagKey: 'Department', TagValue: 'IT' }] }),
      { keyId, tags: [{ tagKey: 'Department', tagValue: 'IT' }] },
    ],
    [new kms.UntagResourceCommand({ KeyId: keyId, TagKeys: ['Department'] }), { keyId, tagKeys: ['Department'] }],
  ])('%#', async (command, requestParameters) => {
    const call = async () => expect(bodyOf(await send(command))).toEqual({});
    expect(await eventOf(call)).toEqual({ ...changed, requestParameters });
  });

  it('schedule and cancel its deletion', async () => {
    const { KeyId, Arn } = (await newKey()) as { KeyId: string; Arn: string };
    const schedule = new kms.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 20 });
    expect(await eventOf(() => client.send(schedule))).toEqual({
      requestParameters: { keyId: KeyId, pendingWindowInDays: 20 },
      responseElements: {
        keyId: Arn,
        keyState: 'PendingDeletion',
        pendingWindowInDays: 20,
        deletionDate: expect.stringMatching(/^[A-Z][a-z]{2} \d+, \d{4}, \d+:\d\d:\d\d [AP]M$/) as string,
      },
      resources: [keyResource(Arn)],
      additionalEventData: undefined,
    });
    expect(await eventOf(() => client.send(new kms.CancelKeyDeletionCommand({ KeyId })))).toEqual({
      requestParameters: { keyId: KeyId },
      responseElements: { keyId: Arn },
      resources: [keyResource(Arn)],
      additionalEventData: undefined,
    });
  });

  it('create it', async () => {
    let made: Partial<kms.KeyMetadata> = {};
    const Tags = [{ TagKey: 'Department', TagValue: 'IT' }];
    const event = await eventOf(async () => (made = await newKey({ Description: 'x', Tags })));
    expect(event).toMatchObject({
      requestParameters: { description: 'x', origin: 'AWS_KMS', tags: [{ tagKey: 'Department', tagValue: 'IT' }] },
      responseElements: { keyMetadata: { aWSAccountId: accountId, keyId: made.KeyId, arn: made.Arn } },
      resources: [keyResource(made.Arn!)],
    });
  });
});

describe('the use of a key', () => {
  it('names its material, and its algorithm though nobody asked for it', async () => {
    const EncryptionContext = { Department: 'IT' };
    const { CurrentKeyMaterialId: keyMaterialId } = (await client.send(new kms.DescribeKeyCommand({ KeyId: keyId })))
      .KeyMetadata!;
    let CiphertextBlob: Uint8Array | undefined;
    const call = async (): Promise<void> => {
      const answer = await encrypt({ EncryptionContext });
      CiphertextBlob = answer.CiphertextBlob;
      expect(bodyOf(answer)).toEqual({ CiphertextBlob, KeyId: keyArn, EncryptionAlgorithm: symmetric });
    };
    const used = { ...read, additionalEventData: { keyMaterialId } };
    const requestParameters = { keyId, encryptionContext: EncryptionContext, encryptionAlgorithm: symmetric };
    expect(await eventOf(call)).toEqual({ ...used, requestParameters });
    const decrypt = new kms.DecryptCommand({ CiphertextBlob, EncryptionContext });
    expect(await eventOf(() => client.send(decrypt))).toEqual({
      ...used,
      requestParameters: { encryptionContext: EncryptionContext, encryptionAlgorithm: symmetric },
    });
    const reEncrypt = new kms.ReEncryptCommand({
      CiphertextBlob,
      SourceEncryptionContext: EncryptionContext,
      DestinationKeyId: keyArn,
    });
    expect(await eventOf(() => client.send(reEncrypt))).toEqual({
      requestParameters: {
        sourceEncryptionContext: EncryptionContext,
        sourceEncryptionAlgorithm: symmetric,
        destinationKeyId: keyArn,
        destinationEncryptionAlgorithm: symmetric,
      },
      responseElements: null,
      additionalEventData: { sourceKeyMaterialId: keyMaterialId, destinationKeyMaterialId: keyMaterialId },
      resources: [keyResource(keyArn), keyResource(keyArn)],
    });
    for (const Command of [kms.GenerateDataKeyCommand, kms.GenerateDataKeyWithoutPlaintextCommand]) {
      const generate = new Command({ KeyId: keyId, KeySpec: 'AES_256', EncryptionContext });
      expect(await eventOf(() => send(generate))).toEqual({
        ...used,
        requestParameters: { keyId, keySpec: 'AES_256', encryptionContext: EncryptionContext },
      });
    }
  });

  it('makes and verifies MACs, of which only the algorithm is told', async () => {
    const usage = { KeySpec: 'HMAC_384', KeyUsage: 'GENERATE_VERIFY_MAC' } as const;
    const { KeyMetadata } = await client.send(new kms.CreateKeyCommand(usage));
    const { KeyId, Arn } = KeyMetadata!;
    const question = { KeyId, MacAlgorithm: 'HMAC_SHA_384', Message: Buffer.from('message') } as const;
    const recorded = {
      ...read,
      resources: [keyResource(Arn!)],
      requestParameters: { keyId: KeyId, macAlgorithm: 'HMAC_SHA_384' },
    };
    const { Mac } = await client.send(new kms.GenerateMacCommand(question));
    expect(await eventOf(() => send(new kms.GenerateMacCommand(question)))).toEqual(recorded);
    expect(await eventOf(() => send(new kms.VerifyMacCommand({ ...question, Mac })))).toEqual(recorded);
  });

  it('is a question only', async () => {
    const none = { responseElements: null, resources: [], additionalEventData: undefined };
    const ask = (command: object) => () => send(command);
    expect(await eventOf(ask(new kms.DescribeKeyCommand({ KeyId: keyId })))).toEqual({
      ...read,
      requestParameters: { keyId },
    });
    expect(await eventOf(ask(new kms.GetKeyPolicyCommand({ KeyId: keyId })))).toEqual({
      ...read,
      requestParameters: { keyId, policyName: 'default' },
    });
    for (const Command of [kms.ListKeyPoliciesCommand, kms.ListResourceTagsCommand]) {
      expect(await eventOf(ask(new Command({ KeyId: keyId, Limit: 5 })))).toEqual({
        ...read,
        requestParameters: { keyId, limit: 5 },
      });
    }
    for (const Command of [kms.ListKeysCommand, kms.ListAliasesCommand]) {
      expect(await eventOf(ask(new Command({ Limit: 5 })))).toEqual({ ...none, requestParameters: { limit: 5 } });
    }
    expect(await eventOf(ask(new kms.GenerateRandomCommand({ NumberOfBytes: 8 })))).toEqual({
      ...none,
      requestParameters: null,
    });
  });
});

describe('what is too long for a record', () => {
  const statement = { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${accountId}:root` }, Action: 'kms:*' };
  const sid = (length: number) => JSON.stringify([{ Sid: 'x'.repeat(length), Resource: '*', ...statement }]);
  const document = (statements: string) => `{"Version":"2012-10-17","Statement":${statements}}`;
  const Policy = document(sid(32_768 - document(sid(0)).length));
  const Description = '열'.repeat(8192);
  const Tags = Array.from({ length: 50 }, (_, i) => ({
    TagKey: `${10 + i}${'쇠'.repeat(126)}`,
    TagValue: '값'.repeat(256),
  }));
  const omission = (text: string) => ({
    omitted: true,
    sha256: createHash('sha256').update(text).digest('hex'),
    bytes: Buffer.byteLength(text),
  });
  const printedTags = JSON.stringify(Tags.map(({ TagKey, TagValue }) => ({ tagKey: TagKey, tagValue: TagValue })));

  it('leaves out the largest texts of CreateKey, with their hashes, and never who and what', async () => {
    expect(Buffer.byteLength(Policy)).toBe(32_768);
    let made: Partial<kms.KeyMetadata> = {};
    const [intent, event] = await recordsOf(async () => (made = await newKey({ Policy, Description, Tags })));
    for (const record of [intent!, event!]) {
      expect(Buffer.byteLength(JSON.stringify(record))).toBeLessThanOrEqual(mostRecordBytes);
      expect(record['requestParameters']).toEqual({
        policy: Policy,
        description: Description,
        origin: 'AWS_KMS',
        tags: omission(printedTags),
      });
    }
    expect(event!['responseElements']).toMatchObject({
      keyMetadata: { keyId: made.KeyId, arn: made.Arn, description: Description },
    });
    expect(event!['resources']).toEqual([keyResource(made.Arn!)]);
  });

  it('has the hash of a policy that is left out', async () => {
    const quotes = '"'.repeat(65_000);
    const [event] = await recordsOf(() => failure(newKey({ Policy: quotes, Description, Tags })));
    expect(event!['requestParameters']).toEqual({
      policy: omission(quotes),
      description: Description,
      origin: 'AWS_KMS',
      tags: JSON.parse(printedTags) as unknown,
    });
    expect(Buffer.byteLength(JSON.stringify(event))).toBeLessThanOrEqual(mostRecordBytes);
  });

  it('keeps what a key is called, however long', async () => {
    const KeyId = `alias/${'열'.repeat(2000)}`;
    const EncryptionContext = { id: '\u0001'.repeat(8186) };
    const input = {
      SourceKeyId: KeyId,
      DestinationKeyId: KeyId,
      CiphertextBlob: Buffer.alloc(60),
      SourceEncryptionContext: EncryptionContext,
      DestinationEncryptionContext: EncryptionContext,
    };
    const [event] = await recordsOf(() => failure(client.send(new kms.ReEncryptCommand(input))));
    expect(event!['requestParameters']).toMatchObject({
      sourceKeyId: KeyId,
      sourceEncryptionContext: omission(JSON.stringify(EncryptionContext)),
      destinationKeyId: KeyId,
      destinationEncryptionContext: EncryptionContext,
    });
    expect(Buffer.byteLength(JSON.stringify(event))).toBeLessThanOrEqual(mostRecordBytes);
  });
});

it('all operations were looked at', () => {
  expect([...seen].sort()).toEqual([...operations.kms.keys()].sort());
});

/** What the service answered. */
const bodyOf = (answer: object): object =>
  Object.fromEntries(Object.entries(answer).filter(([name]) => name !== '$metadata'));
