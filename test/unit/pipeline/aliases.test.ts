// Aliases: their life, their names, and where an alias is taken for a key; expected texts are AWS's answers as its users recorded them.
import * as kms from '@aws-sdk/client-kms';
import { beforeAll, describe, expect, it } from 'vitest';
import { accounts, createKey, failure, lineOfSuite, region } from '../../support/line.js';

const { line, client, other, keyId, keyArn, newKey } = await lineOfSuite();

const arnOf = (name: string, accountId: string = accounts.first, inRegion = region): string =>
  `arn:aws:kms:${inRegion}:${accountId}:${name}`;
const create = (AliasName: string, TargetKeyId = keyId) =>
  failure(client.send(new kms.CreateAliasCommand({ AliasName, TargetKeyId })));
const update = (AliasName: string, TargetKeyId = keyId) =>
  failure(client.send(new kms.UpdateAliasCommand({ AliasName, TargetKeyId })));
const remove = (AliasName: string) => failure(client.send(new kms.DeleteAliasCommand({ AliasName })));
const list = (input: kms.ListAliasesCommandInput) => client.send(new kms.ListAliasesCommand(input));

beforeAll(async () => {
  expect(await create('alias/known')).toBe('no error');
});

describe('aliases', () => {
  it('are created, moved, listed and deleted', async () => {
    const [a, b] = [await newKey(), await newKey()];
    const AliasName = 'alias/moving';
    expect(await create(AliasName, a.KeyId)).toBe('no error');
    expect(await create(AliasName, b.KeyId)).toBe(
      `AlreadyExistsException: An alias with the name ${arnOf(AliasName)} already exists`,
    );
    expect(await update(AliasName, b.KeyId)).toBe('no error');
    await client.send(new kms.ScheduleKeyDeletionCommand({ KeyId: b.KeyId }));
    expect(await update(AliasName, a.KeyId)).toBe('no error');
    expect(await update(AliasName, b.KeyId)).toBe(`KMSInvalidStateException: ${b.Arn!} is pending deletion.`);
    await client.send(new kms.CancelKeyDeletionCommand({ KeyId: b.KeyId }));
    expect(await update(AliasName, b.KeyId)).toBe('no error');
    expect((await list({ KeyId: b.KeyId })).Aliases).toMatchObject([{ AliasName, TargetKeyId: b.KeyId }]);
    expect(await remove(AliasName)).toBe('no error');
    expect(await remove(AliasName)).toBe(`NotFoundException: Alias ${arnOf(AliasName)} is not found.`);
    expect(await update(AliasName, b.KeyId)).toBe(`NotFoundException: Alias ${arnOf(AliasName)} is not found.`);
  });

  it('have a quota, which a taken name does not come to', async () => {
    const { KeyId } = await newKey();
    for (let i = 0; i < 50; i++) expect(await create(`alias/quota-${i}`, KeyId)).toBe('no error');
    const full =
      'LimitExceededException: Aliases per key quota for this account in this region is 50, current usage is 50.';
    expect(await create('alias/quota-50', KeyId)).toBe(full);
    expect(await update('alias/known', KeyId)).toBe(full);
    expect(await create('alias/quota-49', KeyId)).toMatch(/^AlreadyExistsException/);
  });
});

describe('the name of an alias', () => {
  const prefixText =
    'ValidationException: Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html';
  const pattern = 'failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$';

  it.each([
    ['foo', prefixText],
    ['alias/my:alias', 'ValidationException: alias/my:alias contains invalid characters for an alias'],
    ['alias/a b', `ValidationException: 1 validation error detected: Value 'alias/a b' at 'aliasName' ${pattern}`],
    [
      '',
      "ValidationException: 2 validation errors detected: Value '' at 'aliasName' failed to satisfy constraint: " +
        `Member must have length greater than or equal to 1; Value '' at 'aliasName' ${pattern}`,
    ],
  ])('%j is refused before anything is looked up, and without an intent', async (name, text) => {
    const before = line.audit.records.length;
    expect([await create(name), await update(name), await remove(name)]).toEqual([text, text, text]);
    expect(await create(name, '00000000-0000-4000-8000-000000000000')).toBe(text);
    expect(line.audit.records.slice(before).map(({ kind }) => kind)).toEqual(Array(4).fill('event'));
  });

  it('is not of the kind that AWS keeps for itself', async () => {
    const words = 'Alias must not use the reserved prefix alias/aws/';
    expect(await create('alias/aws/x')).toBe(`InvalidAliasNameException: ${words}`);
    // Their errors in AWS's model do not have the other one.
    for (const call of [update, remove]) expect(await call('alias/aws/x')).toBe(`ValidationException: ${words}`);
  });
});

describe('an alias where a key belongs', () => {
  const forms = () => ['alias/known', 'alias/none', arnOf('alias/known'), arnOf('alias/known', accounts.second)];

  it.each<[string, (KeyId: string) => Promise<unknown>]>([
    ['GetKeyPolicy', (KeyId) => client.send(new kms.GetKeyPolicyCommand({ KeyId }))],
    ['ListKeyPolicies', (KeyId) => client.send(new kms.ListKeyPoliciesCommand({ KeyId }))],
    ['ListResourceTags', (KeyId) => client.send(new kms.ListResourceTagsCommand({ KeyId }))],
    ['TagResource', (KeyId) => client.send(new kms.TagResourceCommand({ KeyId, Tags: [] }))],
    ['UntagResource', (KeyId) => client.send(new kms.UntagResourceCommand({ KeyId, TagKeys: ['a'] }))],
    ['EnableKey', (KeyId) => client.send(new kms.EnableKeyCommand({ KeyId }))],
    ['DisableKey', (KeyId) => client.send(new kms.DisableKeyCommand({ KeyId }))],
    ['ScheduleKeyDeletion', (KeyId) => client.send(new kms.ScheduleKeyDeletionCommand({ KeyId }))],
    ['CancelKeyDeletion', (KeyId) => client.send(new kms.CancelKeyDeletionCommand({ KeyId }))],
    ['UpdateKeyDescription', (KeyId) => client.send(new kms.UpdateKeyDescriptionCommand({ KeyId, Description: 'd' }))],
    ['ListAliases', (KeyId) => list({ KeyId })],
  ])('is refused by %s', async (_name, call) => {
    for (const form of [...forms(), arnOf('alias/known', accounts.first, 'us-east-1')]) {
      expect(await failure(call(form))).toBe('InvalidArnException: Key Aliases are not supported for this operation.');
    }
  });

  it('is refused as the target of an alias', async () => {
    for (const form of forms()) {
      const text = 'ValidationException: Aliases must refer to keys. Not aliases';
      expect([await create('alias/second', form), await update('alias/known', form)]).toEqual([text, text]);
    }
  });
});

describe('ListAliases of a key', () => {
  it('says of an id that none has that the key does not exist, and of what is no id that it is none', async () => {
    const missing = '00000000-0000-4000-8000-000000000000';
    const gone = (accountId: string, id: string) =>
      `NotFoundException: Key '${arnOf(`key/${id}`, accountId)}' does not exist`;
    const answer = (KeyId: string) => failure(list({ KeyId }));
    expect(await answer(missing)).toBe(gone(accounts.first, missing));
    expect(await answer(arnOf(`key/${missing}`))).toBe(gone(accounts.first, missing));
    expect(await answer('mrk-1234567812341234123412345678901a')).toBe(
      gone(accounts.first, 'mrk-1234567812341234123412345678901a'),
    );
    expect(await answer('mrk-1234')).toBe("NotFoundException: Invalid keyId 'mrk-1234'");
    expect(await answer(arnOf('key/fake'))).toBe("NotFoundException: Invalid keyId 'fake'");
    // Another account's key is not there, whether it is or not.
    const foreign = await createKey(other);
    expect(await answer(foreign.Arn!)).toBe(gone(accounts.second, foreign.KeyId!));
    expect(await answer(arnOf(`key/${missing}`, accounts.second))).toBe(gone(accounts.second, missing));
    expect((await list({ KeyId: keyArn })).Aliases).toMatchObject([{ AliasName: 'alias/known' }]);
  });
});
