// `userIdentity` of a record, for every kind of principal ("CloudTrail userIdentity element"), and for those who are none.
import type { Principal } from './principal.js';

const identities = new WeakMap<Principal, string>();

/** JSON, made once for each principal. */
export function userIdentityJson(principal: Principal): string {
  let json = identities.get(principal);
  if (json === undefined) {
    json = JSON.stringify(userIdentity(principal));
    identities.set(principal, json);
  }
  return json;
}

/** Of a caller nobody could authenticate. `accessKeyId`: what the request claimed, if it has the form of one. */
export function unknownIdentityJson(accessKeyId?: string): string {
  return JSON.stringify({ type: 'Unknown', accessKeyId });
}

/** Of the daemon itself, about a resource of that account. */
export function daemonIdentityJson(accountId: string | undefined): string {
  return JSON.stringify({ accountId, invokedBy: 'hsm-bridge' });
}

function userIdentity(principal: Principal): object {
  const { accountId } = principal;
  switch (principal.type) {
    case 'Root': {
      const { arn, accessKeyId } = principal;
      return { type: 'Root', principalId: accountId, arn, accountId, accessKeyId };
    }
    case 'User': {
      const { arn, accessKeyId, userId, userName } = principal;
      return { type: 'IAMUser', principalId: userId, arn, accountId, accessKeyId, userName };
    }
    case 'RoleSession': {
      const { arn, accessKeyId, role, sessionName } = principal;
      const sessionIssuer = { type: 'Role', principalId: role.id, arn: role.arn, accountId, userName: role.name };
      const sessionContext = { sessionIssuer, attributes: attributes(principal) };
      const principalId = `${role.id}:${sessionName}`;
      return { type: 'AssumedRole', principalId, arn, accountId, accessKeyId, sessionContext };
    }
    case 'Federated': {
      const { arn, accessKeyId, name, issuer } = principal;
      const sessionContext = { sessionIssuer: sessionIssuer(issuer), attributes: attributes(principal) };
      const principalId = `${accountId}:${name}`;
      return { type: 'FederatedUser', principalId, arn, accountId, accessKeyId, sessionContext };
    }
    case 'Service':
      return { type: 'AWSService', invokedBy: principal.service };
  }
}

function sessionIssuer(issuer: Principal & { readonly type: 'Root' | 'User' }): object {
  const { accountId, arn } = issuer;
  if (issuer.type === 'Root') return { type: 'Root', principalId: accountId, arn, accountId };
  return { type: 'IAMUser', principalId: issuer.userId, arn, accountId, userName: issuer.userName };
}

/** CloudTrail has texts here. */
const attributes = (session: { readonly issuedAtMs: number; readonly hasMfa: boolean }): object => ({
  creationDate: `${new Date(session.issuedAtMs).toISOString().slice(0, 19)}Z`,
  mfaAuthenticated: String(session.hasMfa),
});
