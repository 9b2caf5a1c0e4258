// CreateKey: a key of any served spec, born in the token.
import { BridgeError } from '../kernel/errors.js';
import { keyArn } from '../kernel/arn.js';
import type { Key } from '../model/key.js';
import { isKeySpec, isUsageOf, keySpecRow, type KeySpec, type KeyUsage } from '../model/key-specs.js';
import type { KeyStoreRef } from '../model/key-store.js';
import { quotas } from '../model/quotas.js';
import { defaultKeyPolicy, parseKeyPolicy } from '../policy/document.js';
import { decide } from '../policy/decide.js';
import { generatePending, newMaterialId } from './backing-key.js';
import { boolean, required, structure, text, withDefault, type Structure, type ValueOf } from '../shapes/shape.js';
import { define, type Asked, type Services } from './define.js';
import { keyMetadata, keyMetadataShape } from './key-metadata.js';
import * as member from './members.js';
import * as on from './resources.js';
import type { Resources } from './resources.js';
import { requireValidTags } from './tags.js';

const members = {
  Policy: member.policy,
  Description: withDefault(member.description, ''),
  KeyUsage: member.keyUsage,
  CustomerMasterKeySpec: member.customerMasterKeySpec,
  KeySpec: member.keySpec,
  Origin: withDefault(member.origin, 'AWS_KMS'),
  CustomKeyStoreId: member.customKeyStoreId,
  BypassPolicyLockoutSafetyCheck: withDefault(boolean, false),
  Tags: withDefault(member.tags, []),
  MultiRegion: withDefault(boolean, false),
  XksKeyId: text({ min: 1, max: 128, pattern: '^[a-zA-Z0-9-_.]+$' }),
};
type CreateKeyInput = ValueOf<Structure<typeof members>>;

const createConditions = {
  'aws:RequestTag': 'Tags',
  'kms:BypassPolicyLockoutSafetyCheck': 'BypassPolicyLockoutSafetyCheck',
  'kms:KeyOrigin': 'Origin',
  'kms:KeySpec': 'KeySpec',
  'kms:KeyUsage': 'KeyUsage',
  'kms:MultiRegion': 'MultiRegion',
} as const;

export const createKey = define({
  name: 'CreateKey',
  effect: 'change',
  crossAccount: false,
  quota: 'own',
  input: structure(members),
  output: structure({ KeyMetadata: required(keyMetadataShape) }),
  resources: {
    account: on.account('kms:CreateKey', createConditions),
    tags: on.accountIfGiven('kms:TagResource', 'Tags', { 'aws:RequestTag': 'Tags' }),
  },
  record: {
    request: [
      'Policy',
      'Description',
      'KeyUsage',
      'CustomerMasterKeySpec',
      'KeySpec',
      'Origin',
      'CustomKeyStoreId',
      'BypassPolicyLockoutSafetyCheck',
      'Tags',
      'MultiRegion',
      'XksKeyId',
    ],
    response: ['KeyMetadata'],
  },
  made: ({ KeyMetadata }) => ({ accountId: KeyMetadata.AWSAccountId, arn: KeyMetadata.Arn }),
  check: (input, asked) => {
    kindOf(input);
    requireServed(input);
    requireValidTags(input.Tags);
    if (input.Policy !== undefined) requireNoLockout(input.Policy, input.BypassPolicyLockoutSafetyCheck, asked);
  },
  run: async (input, call) => {
    const { services, region, accountId, nowMs } = call;
    if ((await services.store.keys.count({ region, accountId })) >= quotas.kmsKeys) {
      throw new BridgeError(
        'LimitExceededException',
        `The account has reached its quota of ${quotas.kmsKeys} KMS keys.`,
      );
    }
    const kind = kindOf(input);
    const { keyStore } = await chooseKeyStore(services, region, accountId, kind.spec);
    const row: Key = {
      region,
      accountId,
      keyId: services.random.uuid(),
      keyStore,
      status: 'creating',
      materialMissing: false,
      ...kind,
      description: input.Description,
      createdAtMs: nowMs,
      deletionAtMs: undefined,
      policy: input.Policy ?? defaultKeyPolicy(accountId),
      tags: input.Tags,
      backingKeys: [],
      pendingMaterialId: newMaterialId(services),
      life: services.life,
    };
    await services.store.keys.insert(row);
    const key = await generatePending(services, row, accountId, () => services.store.keys.removeUnfinished(row));
    return { KeyMetadata: keyMetadata(key) };
  },
});

/** Throws ValidationException when they do not go together, UnsupportedOperationException for a spec that is not served. */
function kindOf(input: CreateKeyInput): { readonly spec: KeySpec; readonly usage: KeyUsage } {
  if (input.KeySpec !== undefined && input.CustomerMasterKeySpec !== undefined) {
    throw new BridgeError(
      'ValidationException',
      'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.',
    );
  }
  const spec = input.KeySpec ?? input.CustomerMasterKeySpec ?? 'SYMMETRIC_DEFAULT';
  if (spec !== 'SYMMETRIC_DEFAULT' && input.KeyUsage === undefined) {
    throw new BridgeError(
      'ValidationException',
      'You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.',
    );
  }
  if (!isKeySpec(spec)) throw unsupported(`KeySpec ${spec}`);
  const usage = input.KeyUsage ?? 'ENCRYPT_DECRYPT';
  if (isUsageOf(spec, usage)) return { spec, usage };
  throw new BridgeError('ValidationException', `KeyUsage ${usage} is not compatible with KeySpec ${spec}`);
}

/**
 * The first of the Region's key stores whose token can do what keys of the spec are for. One that is away ends the search: where a key goes must not
 * hang on the moment. UnsupportedOperationException when none can.
 */
async function chooseKeyStore(
  { tokens }: Services,
  region: string,
  accountId: string,
  spec: KeySpec,
): Promise<KeyStoreRef> {
  const { needs } = keySpecRow(spec);
  for (const keyStore of tokens.keyStoresOf(region)) {
    const { algorithms } = await tokens.of(keyStore, accountId).info();
    if (algorithms.includes(needs)) return keyStore;
  }
  throw unsupported(`KeySpec ${spec}, for which the token must do ${needs},`);
}

function requireServed(input: CreateKeyInput): void {
  if (input.Origin !== 'AWS_KMS') throw unsupported(`Origin ${input.Origin}`);
  if (input.CustomKeyStoreId !== undefined) throw unsupported('CustomKeyStoreId');
  if (input.XksKeyId !== undefined) throw unsupported('XksKeyId');
  if (input.MultiRegion) throw unsupported('MultiRegion');
}

/** Of a call that is not made. */
const noContext = { value: () => undefined };

/** The new policy must let the caller change it again (AWS KMS API Reference, CreateKey, BypassPolicyLockoutSafetyCheck). */
function requireNoLockout(policy: string, bypass: boolean, asked: Asked<Resources>): void {
  const parsed = parseKeyPolicy(policy);
  const { principal, region, accountId, requestId } = asked;
  // The key has no id yet that a policy could name: any new UUID gives the answer.
  const resource = { kind: 'key', accountId, arn: keyArn(region, accountId, requestId) } as const;
  const question = { principal, permission: 'kms:PutKeyPolicy', resource, context: noContext } as const;
  if (bypass || decide(question, { keyPolicy: parsed }).effect === 'allow') return;
  throw new BridgeError(
    'MalformedPolicyDocumentException',
    'The new key policy will not allow you to update the key policy in the future.',
  );
}

const unsupported = (what: string): BridgeError =>
  new BridgeError('UnsupportedOperationException', `${what} is not supported by this version of hsm-bridge.`);
