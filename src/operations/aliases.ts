// Aliases: CreateAlias, UpdateAlias, DeleteAlias, ListAliases.
import { aliasArn, keyArn, parseKmsArn } from '../kernel/arn.js';
import { BridgeError } from '../kernel/errors.js';
import type { Alias, Key } from '../model/key.js';
import { quotas } from '../model/quotas.js';
import { anyNumber, list, required, structure, type ValueOf } from '../shapes/shape.js';
import { changedKey, define, type Call } from './define.js';
import { namesAlias, parseKeyId } from './key-id.js';
import * as member from './members.js';
import { pageInput, pageOutput, paginate } from './pagination.js';
import * as on from './resources.js';

/** Of AWS's errors only CreateAlias has InvalidAliasNameException, and no operation on an alias has InvalidArnException. */
type ReservedCode = 'InvalidAliasNameException' | 'ValidationException';

/** What AWS asks of the two arguments beyond their shapes, and before it looks up what they name. */
function requirePair({ AliasName, TargetKeyId }: ValueOf<typeof pairShape>, reserved: ReservedCode): void {
  requireAliasName(AliasName, reserved);
  if (namesAlias(TargetKeyId)) throw new BridgeError('ValidationException', 'Aliases must refer to keys. Not aliases');
  if (TargetKeyId.startsWith('arn:') && parseKmsArn(TargetKeyId) === undefined)
    throw new BridgeError('NotFoundException', `Invalid arn ${TargetKeyId}`);
}

function requireAliasName(aliasName: string, reserved: ReservedCode): void {
  if (!aliasName.startsWith('alias/')) {
    throw new BridgeError(
      'ValidationException',
      `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`,
    );
  }
  if (aliasName.startsWith('alias/aws/'))
    throw new BridgeError(reserved, 'Alias must not use the reserved prefix alias/aws/');
  if (aliasName === 'alias/')
    throw new BridgeError('ValidationException', 'Alias must have a name after the prefix "alias/".');
  // The model's pattern lets it through; the service does not.
  if (aliasName.includes(':'))
    throw new BridgeError('ValidationException', `${aliasName} contains invalid characters for an alias`);
}

async function requireRoom({ services }: Call, key: Key): Promise<void> {
  const count = await services.store.aliases.countOf(key);
  if (count < quotas.aliasesPerKmsKey) return;
  throw new BridgeError(
    'LimitExceededException',
    `Aliases per key quota for this account in this region is ${quotas.aliasesPerKmsKey}, current usage is ${count}.`,
  );
}

const pairShape = structure({ AliasName: required(member.aliasName), TargetKeyId: required(member.keyId) });

export const createAlias = define({
  name: 'CreateAlias',
  effect: 'change',
  crossAccount: false,
  quota: 'own',
  input: pairShape,
  resources: {
    alias: on.alias('kms:CreateAlias', 'AliasName'),
    target: on.key('kms:CreateAlias', 'TargetKeyId', { accepts: 'manageable' }),
  },
  validate: (input) => requirePair(input, 'InvalidAliasNameException'),
  output: changedKey.output,
  noted: changedKey.noted,
  record: { request: ['AliasName', 'TargetKeyId'], response: changedKey.response },
  run: async (input, call) => {
    const { target } = call.keys;
    // A name that is taken is for `insert` to refuse, which comes before the quota.
    if (call.aliases.alias === undefined) await requireRoom(call, target);
    await call.services.store.aliases.insert({
      region: call.region,
      accountId: call.accountId,
      aliasName: input.AliasName,
      keyId: target.keyId,
      createdAtMs: call.nowMs,
      updatedAtMs: call.nowMs,
    });
    return changedKey.result(target);
  },
});

export const updateAlias = define({
  name: 'UpdateAlias',
  effect: 'change',
  crossAccount: false,
  quota: 'own',
  input: pairShape,
  resources: {
    alias: on.alias('kms:UpdateAlias', 'AliasName'),
    target: on.key('kms:UpdateAlias', 'TargetKeyId', { accepts: 'manageable' }),
    current: on.keyOfAlias('kms:UpdateAlias', 'AliasName'),
  },
  validate: (input) => requirePair(input, 'ValidationException'),
  output: changedKey.output,
  noted: changedKey.noted,
  record: { request: ['AliasName', 'TargetKeyId'], response: changedKey.response },
  run: async (_input, call) => {
    const { target } = call.keys;
    const { current } = call.aliases;
    const { keyId } = target;
    if (keyId !== current.keyId) await requireRoom(call, target);
    await call.services.store.aliases.update({ ...current, keyId, updatedAtMs: call.nowMs }, current.keyId);
    return changedKey.result(target);
  },
});

export const deleteAlias = define({
  name: 'DeleteAlias',
  effect: 'change',
  crossAccount: false,
  quota: 'own',
  input: structure({ AliasName: required(member.aliasName) }),
  resources: {
    alias: on.alias('kms:DeleteAlias', 'AliasName'),
    current: on.keyOfAlias('kms:DeleteAlias', 'AliasName'),
  },
  validate: (input) => requireAliasName(input.AliasName, 'ValidationException'),
  output: changedKey.output,
  noted: changedKey.noted,
  record: { request: ['AliasName'], response: changedKey.response },
  run: async (input, call) => {
    await call.services.store.aliases.remove(call, input.AliasName, call.aliases.current.keyId);
    return changedKey.result(call.keys.current);
  },
});

const aliasShape = structure({
  AliasName: required(member.aliasName),
  AliasArn: required(member.arn),
  TargetKeyId: required(member.keyId),
  CreationDate: required(member.date),
  LastUpdatedDate: required(member.date),
});

export const listAliases = define({
  name: 'ListAliases',
  effect: 'read',
  crossAccount: false,
  quota: 'own',
  input: structure({ KeyId: member.keyId, ...pageInput }),
  output: structure({ Aliases: required(list(aliasShape, anyNumber)), ...pageOutput }),
  resources: { account: on.account('kms:ListAliases') },
  record: { request: ['KeyId', 'Limit', 'Marker'] },
  run: async (input, call) => {
    const keyId = input.KeyId === undefined ? undefined : await ownKeyId(input.KeyId, call);
    const { items, ...page } = await paginate(
      'ListAliases',
      input,
      50,
      (alias: Alias) => alias.aliasName,
      (asked) => call.services.store.aliases.list(call, keyId, asked),
    );
    return { Aliases: items.map(aliasEntry), ...page };
  },
});

function aliasEntry(alias: Alias): ValueOf<typeof aliasShape> {
  return {
    AliasName: alias.aliasName,
    AliasArn: aliasArn(alias.region, alias.accountId, alias.aliasName),
    TargetKeyId: alias.keyId,
    CreationDate: alias.createdAtMs,
    LastUpdatedDate: alias.updatedAtMs,
  };
}

/** ListAliases filters by a key of the caller's own account; no key permission is needed for that. */
async function ownKeyId(text: string, call: Call): Promise<string> {
  const { accountId, keyId } = parseKeyId(text, call.region, call.accountId, false);
  const ref = { region: call.region, accountId, keyId };
  const key = accountId === call.accountId ? await call.services.store.keys.find(ref) : undefined;
  if (key === undefined)
    throw new BridgeError('NotFoundException', `Key '${keyArn(call.region, accountId, keyId)}' does not exist`);
  return key.keyId;
}
