// May this caller do this, on each resource it touches? Says no before anything about a key's existence or state is revealed, in
// AWS's words. Root users have every identity permission of their own account; a key's policy must still agree.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, type Key } from '../model/key.js';
import type { AnyOperation, Input } from '../operations/define.js';
import { parseKeyPolicy, type KeyPolicy } from '../policy/document.js';
import { evaluateKeyPolicy, type Decision } from '../policy/evaluate.js';
import type { Caller } from '../ports/authenticator.js';
import { PolicyMemory } from './policy-memory.js';
import type { Resolved } from './resolve.js';

/**
 * AccessDenied, or NotFound for what is missing in the caller's own account, or InvalidGrantToken. Returns the keys, in order. `fault` is
 * told of a stored policy that cannot be evaluated, which lets nobody in.
 */
export function authorize(
  caller: Caller,
  operation: AnyOperation,
  resources: readonly Resolved[],
  input: Input,
  fault: (error: unknown) => void,
): Key[] {
  const keys: Key[] = [];
  for (const resource of resources) {
    if (resource.target.kind === 'account' || resource.target.kind === 'alias') continue;
    keys.push(authorizeKey(caller, operation, resource, fault));
  }
  // No grant was ever issued, so no token of one is valid.
  if (input.GrantTokens !== undefined && input.GrantTokens.length > 0) {
    throw new BridgeError('InvalidGrantTokenException', 'The grant token is not valid.');
  }
  return keys;
}

function authorizeKey(
  caller: Caller,
  operation: AnyOperation,
  resource: Resolved,
  fault: (error: unknown) => void,
): Key {
  const { key, standIn } = resource;
  const own = resource.ownerId === caller.principal.accountId;
  if (key === undefined) {
    if (own) throw notFound(resource);
    if (standIn !== undefined) decide(standIn, caller, resource, fault);
    throw hidden(caller, resource);
  }
  const decision = decide(key, caller, resource, fault);
  if (decision === 'allow' && (own || operation.crossAccount)) return key;
  // An unnamed key (a ciphertext's) is named to its own account alone.
  throw own ? denied(caller, resource, decision) : hidden(caller, resource);
}

const compiled = new PolicyMemory(8 * 1024 * 1024);

function decide(key: Key, caller: Caller, resource: Resolved, fault: (error: unknown) => void): Decision {
  const policy = compiled.get(key.policy) ?? compile(key, fault);
  return evaluateKeyPolicy(policy, {
    accountId: caller.principal.accountId,
    action: resource.target.permission,
    keyArn: arnOfKey(key),
  });
}

/** A policy that an earlier version took and this one does not: which of its statements are still meant, nobody can say. */
function compile(key: Key, fault: (error: unknown) => void): KeyPolicy {
  let policy: KeyPolicy = { statements: [], bytes: 0 };
  try {
    policy = parseKeyPolicy(key.policy);
  } catch (error) {
    fault(new Error(`the policy of ${arnOfKey(key)} cannot be evaluated, so it lets nobody in`, { cause: error }));
  }
  compiled.set(key.policy, policy);
  return policy;
}

function notFound(resource: Resolved): BridgeError {
  const { target, alias, arn } = resource;
  const named =
    target.kind === 'keyOfAlias' || (target.kind === 'key' && alias === undefined && arn?.includes(':alias/') === true);
  return new BridgeError(
    'NotFoundException',
    named ? `Alias ${arn ?? ''} is not found.` : `Key '${arn ?? ''}' does not exist`,
  );
}

function denied(caller: Caller, resource: Resolved, decision: Decision): BridgeError {
  const { permission, kind } = resource.target;
  const where =
    kind === 'ciphertext' ? 'on the resource associated with this ciphertext' : `on resource: ${resource.arn ?? ''}`;
  const why =
    decision === 'explicitDeny'
      ? 'with an explicit deny in a resource-based policy'
      : `because no resource-based policy allows the ${permission} action`;
  return new BridgeError(
    'AccessDeniedException',
    `User: ${caller.principal.arn} is not authorized to perform: ${permission} ${where} ${why}`,
  );
}

/** The same words whether the resource is missing, foreign or closed to the caller. */
function hidden(caller: Caller, resource: Resolved): BridgeError {
  const { permission, kind } = resource.target;
  const where = kind === 'ciphertext' ? 'on the resource associated with this ciphertext' : 'on this resource';
  return new BridgeError(
    'AccessDeniedException',
    `User: ${caller.principal.arn} is not authorized to perform: ${permission} ${where} because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`,
  );
}
