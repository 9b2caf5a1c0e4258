// Operations on a key's description and state: Describe, List, UpdateKeyDescription, Enable, Disable, ScheduleKeyDeletion, CancelKeyDeletion.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, type Key } from '../model/key.js';
import { keyArn } from '../kernel/arn.js';
import { materialOf, recordDeletion } from './backing-key.js';
import { anyNumber, list, required, structure, withDefault } from '../shapes/shape.js';
import { changedKey, define } from './define.js';
import { keyMetadata, keyMetadataShape } from './key-metadata.js';
import * as member from './members.js';
import { pageInput, pageOutput, paginate } from './pagination.js';
import * as on from './resources.js';

const dayMs = 86_400_000;

export const describeKey = define({
  name: 'DescribeKey',
  effect: 'read',
  crossAccount: true,
  quota: 'own',
  input: structure({ KeyId: required(member.keyId), GrantTokens: member.grantTokens }),
  output: structure({ KeyMetadata: required(keyMetadataShape) }),
  resources: { key: on.key('kms:DescribeKey', 'KeyId', { accepts: 'any', aliases: true }) },
  record: { request: ['KeyId'] },
  run: (_input, { keys }) => Promise.resolve({ KeyMetadata: keyMetadata(keys.key) }),
});

const keyEntry = structure({ KeyId: required(member.keyId), KeyArn: required(member.arn) });

export const listKeys = define({
  name: 'ListKeys',
  effect: 'read',
  crossAccount: false,
  quota: 'own',
  input: structure(pageInput),
  output: structure({ Keys: required(list(keyEntry, anyNumber)), ...pageOutput }),
  resources: { account: on.account('kms:ListKeys') },
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
  effect: 'change',
  crossAccount: false,
  quota: 'own',
  input: structure({ KeyId: required(member.keyId), Description: required(member.description) }),
  resources: { key: on.key('kms:UpdateKeyDescription', 'KeyId', { accepts: 'manageable' }) },
  output: changedKey.output,
  noted: changedKey.noted,
  record: { request: ['KeyId', 'Description'], response: changedKey.response },
  run: async (input, { services, keys }) => {
    await services.store.keys.update(keys.key, (key) => ({ ...key, description: input.Description }));
    return changedKey.result(keys.key);
  },
});

function switchKey(name: 'EnableKey' | 'DisableKey', status: 'enabled' | 'disabled') {
  return define({
    name,
    effect: 'change',
    crossAccount: false,
    quota: 'own',
    input: structure({ KeyId: required(member.keyId) }),
    resources: { key: on.key(`kms:${name}`, 'KeyId', { accepts: 'manageable' }) },
    output: changedKey.output,
    noted: changedKey.noted,
    record: { request: ['KeyId'], response: changedKey.response },
    run: async (_input, { services, keys }) => {
      await services.store.keys.update(keys.key, (key) => ({ ...notPendingDeletion(key), status }));
      return changedKey.result(keys.key);
    },
  });
}

export const enableKey = switchKey('EnableKey', 'enabled');
export const disableKey = switchKey('DisableKey', 'disabled');

export const scheduleKeyDeletion = define({
  name: 'ScheduleKeyDeletion',
  effect: 'change',
  crossAccount: false,
  quota: 'own',
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
  resources: {
    key: on.key('kms:ScheduleKeyDeletion', 'KeyId', {
      accepts: 'manageable',
      conditions: { 'kms:ScheduleKeyDeletionPendingWindowInDays': 'PendingWindowInDays' },
    }),
  },
  validate: ({ PendingWindowInDays: days }) => {
    if (days < 7 || days > 30)
      throw new BridgeError('ValidationException', 'PendingWindowInDays must be between 7 and 30');
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
    const seen = notPendingDeletion(call.keys.key);
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
  effect: 'change',
  crossAccount: false,
  quota: 'own',
  input: structure({ KeyId: required(member.keyId) }),
  output: structure({ KeyId: required(member.keyId) }),
  resources: { key: on.key('kms:CancelKeyDeletion', 'KeyId', { accepts: 'pendingDeletion' }) },
  record: { request: ['KeyId'], response: ['KeyId'] },
  run: async (_input, call) => {
    const { services } = call;
    const seen = cancellable(call.keys.key);
    // The token first: a row that says pending deletion destroys nothing without its record.
    await services.tokens.of(seen, call.accountId).cancelDestruction(materialOf(seen));
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
