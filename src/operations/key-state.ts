// Operations on a key's description and state: Describe, List, UpdateKeyDescription, Enable, Disable, ScheduleKeyDeletion, CancelKeyDeletion.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, type Key } from '../model/key.js';
import { keyArn } from '../kernel/arn.js';
import { materialOf, recordDeletion } from './backing-key.js';
import { answerNothing, changedKey, define, keyAt, printChanged, type ChangedKey, type Permission } from './define.js';
import { epochSeconds, keyMetadata, withCloudTrailDates } from './key-metadata.js';
import * as member from './members.js';
import { paginate } from './pagination.js';
import { integer, required, struct, withDefault } from './shapes.js';

const dayMs = 86_400_000;

export const describeKey = define({
  name: 'DescribeKey',
  readOnly: true,
  mutates: false,
  crossAccount: true,
  state: 'any',
  input: struct({ KeyId: required(member.keyId), GrantTokens: member.grantTokens }),
  targets: (input) => [{ kind: 'key', permission: 'kms:DescribeKey', keyId: input.KeyId, aliases: true }],
  audited: { request: ['KeyId'] },
  run: (_input, call) => Promise.resolve({ KeyMetadata: keyMetadata(keyAt(call, 0)) }),
});

export const listKeys = define({
  name: 'ListKeys',
  readOnly: true,
  mutates: false,
  crossAccount: false,
  state: 'any',
  input: struct({ Limit: member.limit, Marker: member.marker }),
  targets: () => [{ kind: 'account', permission: 'kms:ListKeys' }],
  audited: { request: ['Limit', 'Marker'] },
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
  input: struct({ KeyId: required(member.keyId), Description: required(member.description) }),
  targets: (input) => [{ kind: 'key', permission: 'kms:UpdateKeyDescription', keyId: input.KeyId, aliases: false }],
  audited: { request: ['KeyId', 'Description'], response: printChanged },
  answer: answerNothing,
  run: async (input, call): Promise<ChangedKey> => {
    await call.services.store.keys.update(keyAt(call, 0), (key) => ({ ...key, description: input.Description }));
    return changedKey(keyAt(call, 0));
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
    input: struct({ KeyId: required(member.keyId) }),
    targets: (input) => [{ kind: 'key', permission, keyId: input.KeyId, aliases: false }],
    audited: { request: ['KeyId'], response: printChanged },
    answer: answerNothing,
    run: async (_input, call): Promise<ChangedKey> => {
      await call.services.store.keys.update(keyAt(call, 0), (key) => ({ ...notPendingDeletion(key), status }));
      return changedKey(keyAt(call, 0));
    },
  });
}

export const enableKey = switchKey('EnableKey', 'enabled');
export const disableKey = switchKey('DisableKey', 'disabled');

interface Scheduled {
  readonly KeyId: string;
  readonly DeletionDate: number;
  readonly KeyState: string;
  readonly PendingWindowInDays: number;
}

export const scheduleKeyDeletion = define({
  name: 'ScheduleKeyDeletion',
  readOnly: false,
  mutates: true,
  crossAccount: false,
  state: 'manageable',
  input: struct({ KeyId: required(member.keyId), PendingWindowInDays: withDefault(integer(1, 365), 30) }),
  targets: (input) => {
    const days = input.PendingWindowInDays;
    if (days < 7 || days > 30)
      throw new BridgeError('ValidationException', 'PendingWindowInDays must be between 7 and 30');
    return [{ kind: 'key', permission: 'kms:ScheduleKeyDeletion', keyId: input.KeyId, aliases: false }];
  },
  audited: {
    request: ['KeyId', 'PendingWindowInDays'],
    response: (output: Scheduled) => withCloudTrailDates({ ...output }),
  },
  run: async (input, call): Promise<Scheduled> => {
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
      DeletionDate: epochSeconds(deletionAtMs),
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
  input: struct({ KeyId: required(member.keyId) }),
  targets: (input) => [{ kind: 'key', permission: 'kms:CancelKeyDeletion', keyId: input.KeyId, aliases: false }],
  audited: { request: ['KeyId'], response: (output: { KeyId: string }) => ({ ...output }) },
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
