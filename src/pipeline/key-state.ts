// Is each key of the usage and in a state that the operation accepts of it? Asked after authorization, usage first, as AWS does (AWS KMS
// Developer Guide, "Key states of AWS KMS keys").
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, keyState, type Key, type KeyState } from '../model/key.js';
import type { AnyOperation } from '../operations/define.js';
import { incorrectKey } from '../operations/material.js';
import type { Resource, StateRule } from '../operations/resources.js';
import type { Resolved } from './resolve.js';

const accepted: Readonly<Record<StateRule, ReadonlySet<KeyState>>> = {
  any: new Set<KeyState>(['Creating', 'Enabled', 'Disabled', 'PendingDeletion', 'Unavailable']),
  usable: new Set<KeyState>(['Enabled']),
  manageable: new Set<KeyState>(['Enabled', 'Disabled', 'Unavailable']),
  pendingDeletion: new Set<KeyState>(['PendingDeletion']),
};

/**
 * InvalidKeyUsageException (`ARN key usage is U which is not valid for Op.`), or IncorrectKeyException for what a ciphertext was to be opened
 * with; DisabledException (`ARN is disabled.`) or KMSInvalidStateException (`ARN is pending deletion.` …). The key an alias points at now is
 * not asked: an alias may be taken away from any key.
 */
export function checkKeys(operation: AnyOperation, resources: readonly Resolved[]): void {
  for (const { key, resource } of resources) {
    if (key === undefined || resource.kind !== 'key') continue;
    if (resource.usage !== undefined && resource.usage !== key.usage) throw wrongUsage(operation, key, resource);
    const state = keyState(key);
    if (!accepted[resource.accepts].has(state)) throw refusal(arnOfKey(key), resource.accepts, state);
  }
}

function wrongUsage(
  { name }: AnyOperation,
  key: Key,
  { ciphertext }: Resource & { readonly kind: 'key' },
): BridgeError {
  if (ciphertext !== undefined) return incorrectKey();
  return new BridgeError(
    'InvalidKeyUsageException',
    `${arnOfKey(key)} key usage is ${key.usage} which is not valid for ${name}.`,
  );
}

function refusal(arn: string, rule: StateRule, state: KeyState): BridgeError {
  if (rule === 'pendingDeletion') return new BridgeError('KMSInvalidStateException', `${arn} is not pending deletion.`);
  if (state === 'Disabled') return new BridgeError('DisabledException', `${arn} is disabled.`);
  const words = {
    Creating: 'creating',
    Enabled: 'enabled',
    PendingDeletion: 'pending deletion',
    Unavailable: 'unavailable',
  };
  return new BridgeError('KMSInvalidStateException', `${arn} is ${words[state]}.`);
}
