// The access question: what nothing allows is denied, for every kind of principal and of resource.
import { describe, expect, it } from 'vitest';
import type { Principal } from '../../../src/model/principal.js';
import { decide, type AskedResource } from '../../../src/policy/decide.js';
import { defaultKeyPolicy, parseKeyPolicy } from '../../../src/policy/document.js';

const accountId = '111122223333';
const stranger = '444455556666';
const of = (account: string) => ({ accountId: account, accessKeyId: 'AKIA', arn: `arn:aws:iam::${account}:root` });
const session = { ...of(accountId), issuedAtMs: 0, hasMfa: true };
const root = (account: string): Principal => ({ type: 'Root', ...of(account) });
const others: readonly Principal[] = [
  { type: 'User', userId: 'AIDA', userName: 'Alice', ...of(accountId) },
  { type: 'RoleSession', sessionName: 's', role: { id: 'AROA', name: 'r', arn: 'arn' }, ...session },
  { type: 'Federated', name: 'f', issuer: { type: 'Root', ...of(accountId) }, ...session },
  { type: 'Service', service: 'backup.amazonaws.com', accountId },
];

const key: AskedResource = { kind: 'key', accountId, arn: `arn:aws:kms:us-east-1:${accountId}:key/k` };
const keyless: readonly AskedResource[] = [
  { kind: 'account', accountId },
  { kind: 'alias', accountId },
];
const policyOf = (...statements: object[]) =>
  parseKeyPolicy(JSON.stringify({ Version: '2012-10-17', Statement: statements }));
const everybody = { Principal: '*', Action: 'kms:*', Resource: '*' };
const open = policyOf({ Effect: 'Allow', ...everybody });
const ask = (principal: Principal, resource: AskedResource, keyPolicy?: typeof open) =>
  decide({ principal, permission: 'kms:Encrypt', resource, context: { value: () => undefined } }, { keyPolicy });

describe('a root user', () => {
  it('has every permission of its own account, and none of another', () => {
    for (const resource of keyless) {
      expect(ask(root(accountId), resource)).toEqual({ effect: 'allow', by: 'identity' });
      expect(ask(root(stranger), resource)).toEqual({ effect: 'deny', by: 'identity', explicit: false });
    }
  });

  it('may do with a key what its policy says, and nothing without one', () => {
    const byDefault = parseKeyPolicy(defaultKeyPolicy(accountId));
    expect(ask(root(accountId), key, byDefault)).toEqual({ effect: 'allow', by: 'resource' });
    expect(ask(root(stranger), key, byDefault)).toEqual({ effect: 'deny', by: 'resource', explicit: false });
    expect(ask(root(accountId), key)).toEqual({ effect: 'deny', by: 'resource', explicit: false });
    const closed = policyOf({ Effect: 'Allow', ...everybody }, { Effect: 'Deny', ...everybody });
    expect(ask(root(accountId), key, closed)).toEqual({ effect: 'deny', by: 'resource', explicit: true });
  });
});

it.each(others)('a $type may do nothing as long as no evidence speaks for it', (principal) => {
  for (const resource of [key, ...keyless]) {
    expect(ask(principal, resource, open)).toEqual({ effect: 'deny', by: 'identity', explicit: false });
  }
});
