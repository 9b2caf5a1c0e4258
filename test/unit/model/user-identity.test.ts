// `userIdentity` of each kind of principal, beside the examples of the CloudTrail User Guide ("CloudTrail userIdentity element").
import { expect, it } from 'vitest';
import type { Principal } from '../../../src/model/principal.js';
import { daemonIdentityJson, unknownIdentityJson, userIdentityJson } from '../../../src/model/user-identity.js';

const accountId = '123456789012';
const accessKeyId = 'AKIAIOSFODNN7EXAMPLE';
const arnOf = (service: string, resource: string): string => `arn:aws:${service}::${accountId}:${resource}`;
const identityOf = (principal: Principal): unknown => JSON.parse(userIdentityJson(principal));
const alice = { accountId, arn: arnOf('iam', 'user/Alice'), accessKeyId, userId: 'AIDAJ45Q7YFFAREXAMPLE' } as const;
const issuedAtMs = Date.UTC(2023, 2, 23, 16, 26, 57, 999);
const attributes = { creationDate: '2023-03-23T16:26:57Z', mfaAuthenticated: 'false' };

it('of users and roots', () => {
  expect(identityOf({ type: 'User', userName: 'Alice', ...alice })).toEqual({
    type: 'IAMUser',
    principalId: 'AIDAJ45Q7YFFAREXAMPLE',
    arn: 'arn:aws:iam::123456789012:user/Alice',
    accountId,
    accessKeyId,
    userName: 'Alice',
  });
  const arn = arnOf('iam', 'root');
  expect(identityOf({ type: 'Root', accountId, arn, accessKeyId })).toEqual({
    type: 'Root',
    principalId: accountId,
    arn,
    accountId,
    accessKeyId,
  });
});

it('of sessions', () => {
  const role = { id: 'AROAIDPPEZS35WEXAMPLE', name: 'RoleToBeAssumed', arn: arnOf('iam', 'role/RoleToBeAssumed') };
  const arn = arnOf('sts', 'assumed-role/RoleToBeAssumed/MySessionName');
  const session = { accountId, arn, accessKeyId, issuedAtMs, hasMfa: false };
  expect(identityOf({ type: 'RoleSession', sessionName: 'MySessionName', role, ...session })).toEqual({
    type: 'AssumedRole',
    principalId: 'AROAIDPPEZS35WEXAMPLE:MySessionName',
    arn,
    accountId,
    accessKeyId,
    sessionContext: {
      sessionIssuer: { type: 'Role', principalId: role.id, arn: role.arn, accountId, userName: 'RoleToBeAssumed' },
      attributes,
    },
  });
  const issuer = { type: 'User', userName: 'Alice', ...alice } as const;
  expect(identityOf({ type: 'Federated', name: 'bob', issuer, ...session })).toMatchObject({
    type: 'FederatedUser',
    principalId: '123456789012:bob',
    sessionContext: {
      sessionIssuer: { type: 'IAMUser', principalId: alice.userId, arn: alice.arn, accountId, userName: 'Alice' },
      attributes,
    },
  });
});

it('of services, the daemon and nobody', () => {
  expect(identityOf({ type: 'Service', service: 'backup.amazonaws.com', accountId })).toEqual({
    type: 'AWSService',
    invokedBy: 'backup.amazonaws.com',
  });
  expect(JSON.parse(daemonIdentityJson(accountId))).toEqual({ accountId, invokedBy: 'hsm-bridge' });
  expect(JSON.parse(unknownIdentityJson())).toEqual({ type: 'Unknown' });
  expect(JSON.parse(unknownIdentityJson(accessKeyId))).toEqual({ type: 'Unknown', accessKeyId });
});
