// Aliases: CreateAlias, UpdateAlias, DeleteAlias, ListAliases.
import { aliasArn, keyArn, parseKmsArn } from '../kernel/arn.js';
import { BridgeError } from '../kernel/errors.js';
import type { Alias } from '../model/key.js';
import { anyNumber, list, required, structure, type ValueOf } from '../shapes/shape.js';
import { changedKey, define, keyAt, type Call } from './define.js';
import { namesAlias, parseKeyId } from './key-id.js';
import * as member from './members.js';
import { pageInput, pageOutput, paginate } from './pagination.js';

/** AWS's quota: aliases of one key. */
const maxAliases = 50;

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

async function requireRoom(call: Call, keyIndex: number): Promise<void> {
  const count = await call.services.store.aliases.countOf(keyAt(call, keyIndex));
  if (count < maxAliases) return;
  throw new BridgeError(
    'LimitExceededException',
    `Aliases per key quota for this account in this region is ${maxAliases}, current usage is ${count}.`,
  );
}

const pairShape = structure({ AliasName: required(member.aliasName), TargetKeyId: required(member.keyId) });

export const createAlias = define({
  name: 'CreateAlias',
  readOnly: false,
  mutates: true,
  crossAccount: false,
  state: 'manageable',
  input: pairShape,
  targets: (input) => {
    requirePair(input, 'InvalidAliasNameException');
    return [
      { kind: 'alias', permission: 'kms:CreateAlias', aliasName: input.AliasName },
      { kind: 'key', permission: 'kms:CreateAlias', keyId: input.TargetKeyId, aliases: false },
    ];
  },
  output: changedKey.output,
  noted: changedKey.noted,
  record: { request: ['AliasName', 'TargetKeyId'], response: changedKey.response },
  run: async (input, call) => {
    // A name that is taken is for `insert` to refuse, which comes before the quota.
    if (call.alias === undefined) await requireRoom(call, 0);
    await call.services.store.aliases.insert({
      region: call.region,
      accountId: call.accountId,
      aliasName: input.AliasName,
      keyId: keyAt(call, 0).keyId,
      createdAtMs: call.nowMs,
      updatedAtMs: call.nowMs,
    });
    return changedKey.result(keyAt(call, 0));
  },
});

export const updateAlias = define({
  name: 'UpdateAlias',
  readOnly: false,
  mutates: true,
  crossAccount: false,
  state: 'manageable',
  input: pairShape,
  targets: (input) => {
    requirePair(input, 'ValidationException');
    return [
      { kind: 'alias', permission: 'kms:UpdateAlias', aliasName: input.AliasName },
      { kind: 'key', permission: 'kms:UpdateAlias', keyId: input.TargetKeyId, aliases: false },
      { kind: 'keyOfAlias', permission: 'kms:UpdateAlias', aliasName: input.AliasName },
    ];
  },
  output: changedKey.output,
  noted: changedKey.noted,
  record: { request: ['AliasName', 'TargetKeyId'], response: changedKey.response },
  run: async (input, call) => {
    const alias = existing(call, input.AliasName);
    const { keyId } = keyAt(call, 0);
    if (keyId !== alias.keyId) await requireRoom(call, 0);
    await call.services.store.aliases.update({ ...alias, keyId, updatedAtMs: call.nowMs }, alias.keyId);
    return changedKey.result(keyAt(call, 0));
  },
});

export const deleteAlias = define({
  name: 'DeleteAlias',
  readOnly: false,
  mutates: true,
  crossAccount: false,
  state: 'any',
  input: structure({ AliasName: required(member.aliasName) }),
  targets: (input) => {
    requireAliasName(input.AliasName, 'ValidationException');
    return [
      { kind: 'alias', permission: 'kms:DeleteAlias', aliasName: input.AliasName },
      { kind: 'keyOfAlias', permission: 'kms:DeleteAlias', aliasName: input.AliasName },
    ];
  },
  output: changedKey.output,
  noted: changedKey.noted,
  record: { request: ['AliasName'], response: changedKey.response },
  run: async (input, call) => {
    const { keyId } = existing(call, input.AliasName);
    await call.services.store.aliases.remove(call, input.AliasName, keyId);
    return changedKey.result(keyAt(call, 0));
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
  readOnly: true,
  mutates: false,
  crossAccount: false,
  state: 'any',
  input: structure({ KeyId: member.keyId, ...pageInput }),
  output: structure({ Aliases: required(list(aliasShape, anyNumber)), ...pageOutput }),
  targets: () => [{ kind: 'account', permission: 'kms:ListAliases' }],
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

function existing(call: Call, aliasName: string): Alias {
  if (call.alias === undefined) {
    throw new BridgeError(
      'NotFoundException',
      `Alias ${aliasArn(call.region, call.accountId, aliasName)} is not found.`,
    );
  }
  return call.alias;
}
