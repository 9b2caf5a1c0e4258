// The line before a caller for whom nothing speaks, and what it would tell a policy that asks for conditions.
import { describe, expect, it } from 'vitest';
import type { Principal } from '../../../src/model/principal.js';
import { arnOfKey } from '../../../src/model/key.js';
import { operations } from '../../../src/operations/index.js';
import { authorize } from '../../../src/pipeline/authorize.js';
import { RequestContext } from '../../../src/pipeline/request-context.js';
import { resolve } from '../../../src/pipeline/resolve.js';
import { inputReader } from '../../../src/shapes/read.js';
import { accounts, lineOfSuite, region } from '../../support/line.js';

const { line, keyId, keyArn, encrypt } = await lineOfSuite();
const accountId = accounts.first;
const arn = `arn:aws:iam::${accountId}:user/Alice`;
const alice: Principal = { type: 'User', userId: 'AIDA', userName: 'Alice', accountId, arn, accessKeyId: 'AKIA' };
const caller = { principal: alice, region, service: 'kms' };
const fault = (error: unknown): never => {
  throw error;
};

async function resolved(name: string, json: object) {
  const operation = operations.kms.get(name)!;
  const input = inputReader(operation.input)(json) as object;
  return { operation, input, resources: await resolve(line.store, caller, operation, input, fault) };
}

describe('a user', () => {
  const denied = (what: string): string => `User: ${arn} is not authorized to perform: ${what}`;
  const none = (permission: string): string => `because no identity-based policy allows the ${permission} action`;

  it.each([
    ['ListKeys', {}, `kms:ListKeys ${none('kms:ListKeys')}`],
    ['CreateKey', {}, `kms:CreateKey ${none('kms:CreateKey')}`],
    [
      'CreateAlias',
      { AliasName: 'alias/a', TargetKeyId: keyId },
      `kms:CreateAlias on resource: arn:aws:kms:${region}:${accountId}:alias/a ${none('kms:CreateAlias')}`,
    ],
    ['Encrypt', { KeyId: keyId, Plaintext: 'eA==' }, `kms:Encrypt on resource: ${keyArn} ${none('kms:Encrypt')}`],
  ])('is denied %s', async (name, json, what) => {
    const { operation, input, resources } = await resolved(name, json);
    expect(() => authorize(caller, operation, resources, input, fault)).toThrow(denied(what));
  });
});

describe('condition values', () => {
  const contextOf = async (name: string, json: object, n = 0) => {
    const { input, resources } = await resolved(name, json);
    return new RequestContext(caller, input, resources[n]!);
  };

  it('come from the members that the definition names, defaults too', async () => {
    const EncryptionContext = { Department: 'IT', a: '1', A: '2' };
    const context = await contextOf('Encrypt', { KeyId: keyId, Plaintext: 'eA==', EncryptionContext });
    expect(context.value('kms:EncryptionAlgorithm')).toBe('SYMMETRIC_DEFAULT');
    // The name is compared without its case (AWS KMS Developer Guide, "kms:EncryptionContext:context-key").
    expect(context.value('kms:EncryptionContext:department')).toBe('IT');
    expect(context.value('kms:EncryptionContext:a')).toEqual(['1', '2']);
    expect(context.value('kms:EncryptionContext:B')).toBeUndefined();
    expect(context.value('kms:EncryptionContextKeys')).toEqual(['Department', 'a', 'A']);
    expect(context.value('kms:CallerAccount')).toBe(accountId);
    expect(context.value('aws:RequestedRegion')).toBe(region);
    for (const absent of ['kms:RequestAlias', 'kms:KeySpec', 'kms:ViaService', 'aws:TagKeys', 'toString'])
      expect([absent, context.value(absent)]).toEqual([absent, undefined]);
  });

  it('are those of the resource that is asked about', async () => {
    const { CiphertextBlob } = await encrypt();
    const json = {
      CiphertextBlob: Buffer.from(CiphertextBlob!).toString('base64'),
      SourceEncryptionContext: { of: 'source' },
      DestinationEncryptionContext: { of: 'destination' },
      DestinationKeyId: keyId,
    };
    expect((await contextOf('ReEncrypt', json, 0)).value('kms:EncryptionContext:of')).toBe('source');
    expect((await contextOf('ReEncrypt', json, 1)).value('kms:EncryptionContext:of')).toBe('destination');
  });

  it('name the alias by which the key is named', async () => {
    const key = await line.store.keys.find({ region, accountId, keyId });
    const alias = { region, accountId, aliasName: 'alias/named', keyId, createdAtMs: 0, updatedAtMs: 0 };
    await line.store.aliases.insert(alias);
    for (const KeyId of ['alias/named', `arn:aws:kms:${region}:${accountId}:alias/named`]) {
      const context = await contextOf('Encrypt', { KeyId, Plaintext: 'eA==' });
      expect(context.value('kms:RequestAlias')).toBe('alias/named');
    }
    const byArn = await contextOf('Encrypt', { KeyId: arnOfKey(key!), Plaintext: 'eA==' });
    expect(byArn.value('kms:RequestAlias')).toBeUndefined();
  });

  it('name tags that are given and keys of tags that are taken away', async () => {
    const Tags = [{ TagKey: 'Team', TagValue: 'x' }];
    const tagging = await contextOf('TagResource', { KeyId: keyId, Tags });
    expect([tagging.value('aws:TagKeys'), tagging.value('aws:RequestTag/Team')]).toEqual([['Team'], 'x']);
    const untagging = await contextOf('UntagResource', { KeyId: keyId, TagKeys: ['Team'] });
    expect([untagging.value('aws:TagKeys'), untagging.value('aws:RequestTag/Team')]).toEqual([['Team'], undefined]);
  });
});
