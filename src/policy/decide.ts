// The one access question, whatever the resource: may this principal do this to that? Pure: what it needs was gathered before, and what nothing
// allows is denied. Identity policies, sessions, boundaries and grants become further evidence here (AWS KMS Developer Guide, "Determining
// access to AWS KMS keys").
import type { Permission } from '../model/permission.js';
import type { Principal } from '../model/principal.js';
import type { Context } from './context.js';
import type { KeyPolicy } from './document.js';
import { evaluateKeyPolicy } from './evaluate.js';

/** What is asked about. Accounts and aliases have no policy of their own. */
export type AskedResource =
  | { readonly kind: 'account' | 'alias'; readonly accountId: string }
  | { readonly kind: 'key'; readonly accountId: string; readonly arn: string };

export interface Question {
  readonly principal: Principal;
  readonly permission: Permission;
  readonly resource: AskedResource;
  readonly context: Context;
}

/** What says something about it. */
export interface Evidence {
  /** The key's; undefined where the resource has none. */
  readonly keyPolicy: KeyPolicy | undefined;
}

/** `by`: whose word it was, or whose was wanting. */
export type Decision =
  | { readonly effect: 'allow'; readonly by: 'identity' | 'resource' }
  | { readonly effect: 'deny'; readonly by: 'identity' | 'resource'; readonly explicit: boolean };

const allowedByIdentity: Decision = { effect: 'allow', by: 'identity' };
const allowedByResource: Decision = { effect: 'allow', by: 'resource' };
const notAllowedByIdentity: Decision = { effect: 'deny', by: 'identity', explicit: false };
const notAllowedByResource: Decision = { effect: 'deny', by: 'resource', explicit: false };
const deniedByResource: Decision = { effect: 'deny', by: 'resource', explicit: true };

export function decide(question: Question, evidence: Evidence): Decision {
  switch (question.principal.type) {
    case 'Root':
      return decideForRoot(question, evidence);
    case 'User':
    case 'RoleSession':
    case 'Federated':
    case 'Service':
      // No evidence speaks for these yet.
      return notAllowedByIdentity;
  }
}

/** A root user has every identity permission of its own account, and may use them on what lets it in; a key's policy must agree. */
function decideForRoot({ principal, permission, resource }: Question, { keyPolicy }: Evidence): Decision {
  const { accountId } = principal;
  if (resource.kind !== 'key') return resource.accountId === accountId ? allowedByIdentity : notAllowedByIdentity;
  if (keyPolicy === undefined) return notAllowedByResource;
  switch (evaluateKeyPolicy(keyPolicy, { accountId, action: permission, keyArn: resource.arn })) {
    case 'allow':
      return allowedByResource;
    case 'explicitDeny':
      return deniedByResource;
    case 'noAllow':
      return notAllowedByResource;
  }
}
