// Is the key in a state that the operation accepts? Asked after authorization (AWS KMS Developer Guide, "Key states of AWS KMS keys").
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, keyState, type Key, type KeyState } from '../model/key.js';
import type { StateRule } from '../operations/define.js';

const accepted: Readonly<Record<StateRule, ReadonlySet<KeyState>>> = {
  any: new Set<KeyState>(['Creating', 'Enabled', 'Disabled', 'PendingDeletion', 'Unavailable']),
  usable: new Set<KeyState>(['Enabled']),
  manageable: new Set<KeyState>(['Enabled', 'Disabled', 'Unavailable']),
  pendingDeletion: new Set<KeyState>(['PendingDeletion']),
};

/** DisabledException (`ARN is disabled.`) or KMSInvalidStateException (`ARN is pending deletion.` …). */
export function checkKeyState(rule: StateRule, keys: readonly Key[]): void {
  for (const key of keys) {
    const state = keyState(key);
    if (!accepted[rule].has(state)) throw refusal(arnOfKey(key), rule, state);
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
