// Operations on a key's description and state: Describe, List, UpdateKeyDescription, Enable, Disable, ScheduleKeyDeletion, CancelKeyDeletion.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, type Key } from '../model/key.js';
import { keyArn } from '../kernel/arn.js';
import { materialOf, recordDeletion } from './backing-key.js';
import { anyNumber, list, required, structure, withDefault } from '../shapes/shape.js';
import { changedKey, define, keyAt, type Permission } from './define.js';
import { keyMetadata, keyMetadataShape } from './key-metadata.js';
import * as member from './members.js';
import { pageInput, pageOutput, paginate } from './pagination.js';

const dayMs = 86_400_000;

export const describeKey = define({
  name: 'DescribeKey',
  readOnly: true,
  mutates: false,
  crossAccount: true,
  state: 'any',
  input: structure({ KeyId: required(member.keyId), GrantTokens: member.grantTokens }),
  output: structure({ KeyMetadata: required(keyMetadataShape) }),
  targets: (input) => [{ kind: 'key', permission: 'kms:DescribeKey', keyId: input.KeyId, aliases: true }],
  record: { request: ['KeyId'] },
  run: (_input, call) => Promise.resolve({ KeyMetadata: keyMetadata(keyAt(call, 0)) }),
});

const keyEntry = structure({ KeyId: required(member.keyId), KeyArn: required(member.arn) });

export const listKeys = define({
  name: 'ListKeys',
  readOnly: true,
  mutates: false,
  crossAccount: false,
  state: 'any',
  input: structure(pageInput),
  output: structure({ Keys: required(list(keyEntry, anyNumber)), ...pageOutput }),
  targets: () => [{ kind: 'account', permission: 'kms:ListKeys' }],
  record: { request: ['Limit', 'Marker'] },
  run: async (input, call) => {
    const { items, ...page } = await paginate('ListKeys', input, 100, String, (asked) =>
      call.services.store.keys.list(call, asked),
    );
    return { Keys: items.map((id) => ({ KeyId: id, KeyArn: keyArn(call.region, call.accountId, id) })), ...page };
  },
});

export const updateKeyDescription = define({
  name: 'UpdateKeyDescription',
  readOnly: false,
  mutates: true,
  crossAccount: false,
  state: 'manageable',
  input: structure({ KeyId: required(member.keyId), Description: required(member.description) }),
  targets: (input) => [{ kind: 'key', permission: 'kms:UpdateKeyDescription', keyId: input.KeyId, aliases: false }],
  output: changedKey.output,
  noted: changedKey.noted,
  record: { request: ['KeyId', 'Description'], response: changedKey.response },
  run: async (input, call) => {
    await call.services.store.keys.update(keyAt(call, 0), (key) => ({ ...key, description: input.Description }));
    return changedKey.result(keyAt(call, 0));
  },
});

function switchKey(name: 'EnableKey' | 'DisableKey', status: 'enabled' | 'disabled') {
  const permission: Permission = `kms:${name}`;
  return define({
    name,
    readOnly: false,
    mutates: true,
    crossAccount: false,
    state: 'manageable',
    input: structure({ KeyId: required(member.keyId) }),
    targets: (input) => [{ kind: 'key', permission, keyId: input.KeyId, aliases: false }],
    output: changedKey.output,
    noted: changedKey.noted,
    record: { request: ['KeyId'], response: changedKey.response },
    run: async (_input, call) => {
      await call.services.store.keys.update(keyAt(call, 0), (key) => ({ ...notPendingDeletion(key), status }));
      return changedKey.result(keyAt(call, 0));
    },
  });
}

export const enableKey = switchKey('EnableKey', 'enabled');
export const disableKey = switchKey('DisableKey', 'disabled');

export const scheduleKeyDeletion = define({
  name: 'ScheduleKeyDeletion',
  readOnly: false,
  mutates: true,
  crossAccount: false,
  state: 'manageable',
  input: structure({
    KeyId: required(member.keyId),
    PendingWindowInDays: withDefault(member.pendingWindowInDays, 30),
  }),
  output: structure({
    KeyId: required(member.keyId),
    DeletionDate: required(member.date),
    KeyState: required(member.keyState),
    PendingWindowInDays: required(member.pendingWindowInDays),
  }),
  targets: (input) => {
    const days = input.PendingWindowInDays;
    if (days < 7 || days > 30)
      throw new BridgeError('ValidationException', 'PendingWindowInDays must be between 7 and 30');
    return [{ kind: 'key', permission: 'kms:ScheduleKeyDeletion', keyId: input.KeyId, aliases: false }];
  },
  record: {
    request: ['KeyId', 'PendingWindowInDays'],
    response: ['KeyId', 'DeletionDate', 'KeyState', 'PendingWindowInDays'],
  },
  run: async (input, call) => {
    const days = input.PendingWindowInDays;
    // Days that are counted from a clock that is behind are over too soon once it is right.
    if (call.services.clockDoubt() !== undefined)
      throw new BridgeError('KMSInternalException', 'The clock of the daemon is not right: no deletion is scheduled.');
    const deletionAtMs = call.nowMs + days * dayMs;
    // The token first: a record that no row has written means nothing, and a row without a record would destroy nothing.
    const seen = notPendingDeletion(keyAt(call, 0));
    await recordDeletion(call.services, seen, deletionAtMs);
    const key = await call.services.store.keys.update(seen, (row) => ({
      ...notPendingDeletion(row),
      status: 'pendingDeletion',
      deletionAtMs,
    }));
    // A generation more since the key was seen.
    if (materialOf(key).length > materialOf(seen).length) await recordDeletion(call.services, key, deletionAtMs);
    return {
      KeyId: arnOfKey(key),
      DeletionDate: deletionAtMs,
      KeyState: 'PendingDeletion',
      PendingWindowInDays: days,
    };
  },
});

export const cancelKeyDeletion = define({
  name: 'CancelKeyDeletion',
  readOnly: false,
  mutates: true,
  crossAccount: false,
  state: 'pendingDeletion',
  input: structure({ KeyId: required(member.keyId) }),
  output: structure({ KeyId: required(member.keyId) }),
  targets: (input) => [{ kind: 'key', permission: 'kms:CancelKeyDeletion', keyId: input.KeyId, aliases: false }],
  record: { request: ['KeyId'], response: ['KeyId'] },
  run: async (_input, call) => {
    const { services } = call;
    const seen = cancellable(keyAt(call, 0));
    // The token first: a row that says pending deletion destroys nothing without its record.
    await services.token(seen.region, call.accountId).cancelDestruction(materialOf(seen));
    const key = await services.store.keys.update(seen, (row) => ({
      ...cancellable(row),
      status: 'disabled',
      deletionAtMs: undefined,
    }));
    return { KeyId: arnOfKey(key) };
  },
});

/** What the deletion job has begun is `deleting`, and not stopped; until then a wrong clock must not keep anybody from this. */
function cancellable(key: Key): Key {
  if (key.status === 'pendingDeletion') return key;
  throw new BridgeError('KMSInvalidStateException', `${arnOfKey(key)} is not pending deletion.`);
}

/** The state was checked before, on a copy that another call may have changed since: asked again on the row being written. */
function notPendingDeletion(key: Key): Key {
  if (key.status === 'pendingDeletion' || key.status === 'deleting')
    throw new BridgeError('KMSInvalidStateException', `${arnOfKey(key)} is pending deletion.`);
  return key;
}
