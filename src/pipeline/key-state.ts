// Is each key in a state that the operation accepts of it? Asked after authorization (AWS KMS Developer Guide, "Key states of AWS KMS keys").
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, keyState, type KeyState } from '../model/key.js';
import type { StateRule } from '../operations/resources.js';
import type { Resolved } from './resolve.js';

const accepted: Readonly<Record<StateRule, ReadonlySet<KeyState>>> = {
  any: new Set<KeyState>(['Creating', 'Enabled', 'Disabled', 'PendingDeletion', 'Unavailable']),
  usable: new Set<KeyState>(['Enabled']),
  manageable: new Set<KeyState>(['Enabled', 'Disabled', 'Unavailable']),
  pendingDeletion: new Set<KeyState>(['PendingDeletion']),
};

/**
 * DisabledException (`ARN is disabled.`) or KMSInvalidStateException (`ARN is pending deletion.` …). The key an alias points at now is not
 * asked: an alias may be taken away from a key in any state.
 */
export function checkKeyStates(resources: readonly Resolved[]): void {
  for (const { key, resource } of resources) {
    if (key === undefined || resource.kind !== 'key') continue;
    const state = keyState(key);
    if (!accepted[resource.accepts].has(state)) throw refusal(arnOfKey(key), resource.accepts, state);
  }
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
