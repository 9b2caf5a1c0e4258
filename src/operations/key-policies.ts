// GetKeyPolicy and ListKeyPolicies. A key has one policy, named default.
import { BridgeError } from '../kernel/errors.js';
import { anyNumber, list, required, structure, withDefault } from '../shapes/shape.js';
import { define } from './define.js';
import * as member from './members.js';
import { pageInput, pageOutput, paginate } from './pagination.js';
import * as on from './resources.js';

const policyName = 'default';

export const getKeyPolicy = define({
  name: 'GetKeyPolicy',
  effect: 'read',
  crossAccount: false,
  quota: 'own',
  input: structure({ KeyId: required(member.keyId), PolicyName: withDefault(member.policyName, policyName) }),
  output: structure({ Policy: required(member.policy), PolicyName: required(member.policyName) }),
  resources: {
    key: on.key('kms:GetKeyPolicy', 'KeyId', { accepts: 'any', conditions: { 'kms:PolicyName': 'PolicyName' } }),
  },
  record: { request: ['KeyId', 'PolicyName'] },
  run: (input, { keys }) => {
    if (input.PolicyName !== policyName) {
      throw new BridgeError('NotFoundException', 'No such policy exists');
    }
    return Promise.resolve({ Policy: keys.key.policy, PolicyName: policyName });
  },
});

export const listKeyPolicies = define({
  name: 'ListKeyPolicies',
  effect: 'read',
  crossAccount: false,
  quota: 'own',
  input: structure({ KeyId: required(member.keyId), ...pageInput }),
  output: structure({ PolicyNames: required(list(member.policyName, anyNumber)), ...pageOutput }),
  resources: { key: on.key('kms:ListKeyPolicies', 'KeyId', { accepts: 'any' }) },
  record: { request: ['KeyId', 'Limit', 'Marker'] },
  run: async (input) => {
    const { items, ...page } = await paginate('ListKeyPolicies', input, 100, String, ({ after }) =>
      Promise.resolve(after === undefined || after < policyName ? [policyName] : []),
    );
    return { PolicyNames: items, ...page };
  },
});
