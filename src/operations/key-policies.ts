// GetKeyPolicy and ListKeyPolicies. A key has one policy, named default.
import { BridgeError } from '../kernel/errors.js';
import { anyNumber, list, required, structure, withDefault } from '../shapes/shape.js';
import { define, keyAt } from './define.js';
import * as member from './members.js';
import { pageInput, pageOutput, paginate } from './pagination.js';

const policyName = 'default';

export const getKeyPolicy = define({
  name: 'GetKeyPolicy',
  readOnly: true,
  mutates: false,
  crossAccount: false,
  state: 'any',
  input: structure({ KeyId: required(member.keyId), PolicyName: withDefault(member.policyName, policyName) }),
  output: structure({ Policy: required(member.policy), PolicyName: required(member.policyName) }),
  targets: (input) => [{ kind: 'key', permission: 'kms:GetKeyPolicy', keyId: input.KeyId, aliases: false }],
  record: { request: ['KeyId', 'PolicyName'] },
  run: (input, call) => {
    const key = keyAt(call, 0);
    if (input.PolicyName !== policyName) {
      throw new BridgeError('NotFoundException', 'No such policy exists');
    }
    return Promise.resolve({ Policy: key.policy, PolicyName: policyName });
  },
});

export const listKeyPolicies = define({
  name: 'ListKeyPolicies',
  readOnly: true,
  mutates: false,
  crossAccount: false,
  state: 'any',
  input: structure({ KeyId: required(member.keyId), ...pageInput }),
  output: structure({ PolicyNames: required(list(member.policyName, anyNumber)), ...pageOutput }),
  targets: (input) => [{ kind: 'key', permission: 'kms:ListKeyPolicies', keyId: input.KeyId, aliases: false }],
  record: { request: ['KeyId', 'Limit', 'Marker'] },
  run: async (input) => {
    const { items, ...page } = await paginate('ListKeyPolicies', input, 100, String, ({ after }) =>
      Promise.resolve(after === undefined || after < policyName ? [policyName] : []),
    );
    return { PolicyNames: items, ...page };
  },
});
