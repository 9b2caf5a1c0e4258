// What a stranger hears of another account's key: one denial, whether it is there, is not, or cannot be looked at. The operator hears why.
import * as kms from '@aws-sdk/client-kms';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { BridgeError } from '../../../src/kernel/errors.js';
import type { Key } from '../../../src/model/key.js';
import { accounts, createKey, failure, lineOfSuite, region } from '../../support/line.js';

const { line, client, other, keyArn, encrypt, decrypt } = await lineOfSuite();
const aliasName = 'alias/there';
await client.send(new kms.CreateAliasCommand({ AliasName: aliasName, TargetKeyId: keyArn }));
const { CiphertextBlob } = await encrypt();
/** A ciphertext whose header is sound and whose material nobody knows. */
const orphan = await (async () => {
  const key = await createKey(client);
  const blob = (await encrypt({ KeyId: key.KeyId })).CiphertextBlob!;
  const ref = { region, accountId: accounts.first, keyId: key.KeyId! };
  await line.store.keys.remove(ref);
  return blob;
})();

const arnOf = (resource: string) => `arn:aws:kms:${region}:${accounts.first}:${resource}`;
const by = (KeyId: string) => () => failure(encrypt({ KeyId }, other));
const opening = (blob: Uint8Array) => () => failure(decrypt({ CiphertextBlob: blob }, other));
const forms: readonly [
  form: keyof typeof line.store.foreign,
  there: () => Promise<string>,
  not: () => Promise<string>,
][] = [
  ['key', by(keyArn), by(arnOf('key/00000000-0000-4000-8000-000000000000'))],
  ['keyOfAlias', by(arnOf(aliasName)), by(arnOf('alias/nowhere'))],
  ['keyOfMaterial', opening(CiphertextBlob!), opening(orphan)],
];
const hidden = (what: string, where: string) =>
  `AccessDeniedException: User: arn:aws:iam::${accounts.second}:root is not authorized to perform: kms:${what} on ${where} because the ` +
  'resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access';
const said = {
  key: hidden('Encrypt', 'this resource'),
  keyOfAlias: hidden('Encrypt', 'this resource'),
  keyOfMaterial: hidden('Decrypt', 'the resource associated with this ciphertext'),
};

afterEach(() => {
  vi.restoreAllMocks();
  line.faults.length = 0;
});

describe.each(forms)('another account’s key, by %s', (form, there, not) => {
  it('is denied alike, there or not', async () => {
    const before = line.audit.records.length;
    expect([await there(), await not()]).toEqual([said[form], said[form]]);
    expect(line.faults).toEqual([]);
    // The account pays for what its records take: they must not differ by the key's name.
    const resources = line.audit.records.slice(before).map(({ record }) => record['resources']);
    expect(resources).toEqual([[], []]);
  });

  it.each([
    new BridgeError('KMSInternalException', 'The stored record failed its integrity check.'),
    new BridgeError('DependencyTimeoutException'),
    new BridgeError('KeyUnavailableException'),
    new BridgeError('ThrottlingException'),
    new TypeError('a fault of ours'),
  ])('is denied alike when it cannot be looked up: $message', async (error) => {
    // However it is looked up.
    vi.spyOn(line.store.foreign, form).mockRejectedValue(error);
    const before = line.audit.records.length;
    expect(await there()).toBe(said[form]);
    expect(line.faults).toEqual([error]);
    const records = line.audit.records.slice(before);
    expect(records.map(({ kind, record }) => [kind, record['errorCode'], record['resources']])).toEqual([
      ['event', 'AccessDeniedException', []],
    ]);
    expect(JSON.stringify(records)).not.toMatch(/integrity|Timeout|Unavailable|Throttling|fault of ours/);
  });

  it('has a stand-in evaluated where there is none', async () => {
    let evaluated = 0;
    const own = await line.store.keys.find({ region, accountId: accounts.first, keyId: keyArn.split('/')[1]! });
    const standIn: Key = {
      ...own!,
      status: 'creating',
      get policy() {
        evaluated += 1;
        return own!.policy;
      },
    };
    vi.spyOn(line.store.foreign, form).mockResolvedValue(standIn);
    expect(await not()).toBe(said[form]);
    expect(evaluated).toBe(1);
  });
});

describe('a stored policy that this version does not take', () => {
  const action = { Effect: 'Allow', Principal: '*', Resource: '*', Action: 'Decrypt' };
  const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [{ ...action, Action: 'kms:*' }, action] });

  it('lets nobody in; its owner is denied, a stranger learns nothing, the operator is told once', async () => {
    const { KeyId, Arn } = await createKey(client);
    const ref = { region, accountId: accounts.first, keyId: KeyId! };
    const blob = (await encrypt({ KeyId })).CiphertextBlob!;
    await line.store.keys.update(ref, (key) => ({ ...key, policy: Policy }));
    const own = `AccessDeniedException: User: arn:aws:iam::${accounts.first}:root is not authorized to perform: kms:Encrypt on resource: ${Arn!} because no resource-based policy allows the kms:Encrypt action`;
    expect(await failure(encrypt({ KeyId }))).toBe(own);
    expect(await failure(encrypt({ KeyId }))).toBe(own);
    expect(await by(Arn!)()).toBe(said.key);
    expect(await opening(blob)()).toBe(said.keyOfMaterial);
    expect(line.faults.map(String)).toEqual([`Error: the policy of ${Arn!} cannot be evaluated, so it lets nobody in`]);
  });
});
