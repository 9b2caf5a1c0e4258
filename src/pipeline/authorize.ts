// May this caller do this, on each resource it touches? Says no before anything about a key's existence or state is revealed, in
// AWS's words. Every resource is asked about in the same way (`policy/decide.ts`); what nothing allows is denied.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, type Alias, type Key } from '../model/key.js';
import { nameOf } from '../model/principal.js';
import type { AnyOperation, Input } from '../operations/define.js';
import { decide, type AskedResource, type Decision } from '../policy/decide.js';
import { parseKeyPolicy, type KeyPolicy } from '../policy/document.js';
import type { Caller } from '../ports/authenticator.js';
import { PolicyMemory } from './policy-memory.js';
import { RequestContext } from './request-context.js';
import type { Resolved } from './resolve.js';

/** What the operation may touch, by its names for it. */
export interface Authorized {
  readonly keys: Readonly<Record<string, Key>>;
  readonly aliases: Readonly<Record<string, Alias | undefined>>;
}

/**
 * AccessDenied, or NotFound for what is missing in the caller's own account, or InvalidGrantToken. `fault` is told of a stored policy that
 * cannot be evaluated, which lets nobody in.
 */
export function authorize(
  caller: Caller,
  operation: AnyOperation,
  resources: readonly Resolved[],
  input: Input,
  fault: (error: unknown) => void,
): Authorized {
  const keys: Record<string, Key> = {};
  const aliases: Record<string, Alias | undefined> = {};
  const asking: Asking = { caller, operation, input, fault };
  for (const resolved of resources) {
    const { name, resource, alias } = resolved;
    if (resource.kind === 'key' || resource.kind === 'keyOfAlias') keys[name] = authorizeKey(asking, resolved);
    else requireAllowed(asking, resolved, resource.kind);
    if (resource.kind === 'alias' || resource.kind === 'keyOfAlias') aliases[name] = alias;
  }
  // No grant was ever issued, so no token of one is valid.
  if (input.GrantTokens !== undefined && input.GrantTokens.length > 0) {
    throw new BridgeError('InvalidGrantTokenException', 'The grant token is not valid.');
  }
  return { keys, aliases };
}

interface Asking {
  readonly caller: Caller;
  readonly operation: AnyOperation;
  readonly input: Input;
  readonly fault: (error: unknown) => void;
}

/** An account or an alias, which are the caller's own. */
function requireAllowed(asking: Asking, resolved: Resolved, kind: 'account' | 'alias'): void {
  const decision = ask(asking, resolved, { kind, accountId: resolved.ownerId ?? '' }, undefined);
  if (decision.effect === 'deny') throw denied(asking.caller, resolved, decision);
}

function authorizeKey(asking: Asking, resolved: Resolved): Key {
  const { caller, operation } = asking;
  const { key, standIn } = resolved;
  const own = resolved.ownerId === caller.principal.accountId;
  if (key === undefined) {
    if (own) throw notFound(resolved);
    if (standIn !== undefined) askKey(asking, resolved, standIn);
    throw hidden(caller, resolved);
  }
  const decision = askKey(asking, resolved, key);
  if (decision.effect === 'allow' && (own || operation.crossAccount)) return key;
  // An unnamed key (a ciphertext's) is named to its own account alone.
  throw own && decision.effect === 'deny' ? denied(caller, resolved, decision) : hidden(caller, resolved);
}

function askKey(asking: Asking, resolved: Resolved, key: Key): Decision {
  const { policy } = key;
  const keyPolicy = compiled.get(policy) ?? compile(key, policy, asking.fault);
  return ask(asking, resolved, { kind: 'key', accountId: key.accountId, arn: arnOfKey(key) }, keyPolicy);
}

function ask(
  { caller, input }: Asking,
  resolved: Resolved,
  resource: AskedResource,
  keyPolicy: KeyPolicy | undefined,
): Decision {
  const { principal } = caller;
  const { permission } = resolved.resource;
  const context = new RequestContext(caller, input, resolved);
  return decide({ principal, permission, resource, context }, { keyPolicy });
}

const compiled = new PolicyMemory(8 * 1024 * 1024);

/** A policy that an earlier version took and this one does not: which of its statements are still meant, nobody can say. */
function compile(key: Key, text: string, fault: (error: unknown) => void): KeyPolicy {
  let policy: KeyPolicy = { statements: [], bytes: 0 };
  try {
    policy = parseKeyPolicy(text);
  } catch (error) {
    fault(new Error(`the policy of ${arnOfKey(key)} cannot be evaluated, so it lets nobody in`, { cause: error }));
  }
  compiled.set(text, policy);
  return policy;
}

function notFound({ resource, alias, arn }: Resolved): BridgeError {
  const named =
    resource.kind === 'keyOfAlias' ||
    (resource.kind === 'key' && alias === undefined && arn?.includes(':alias/') === true);
  return new BridgeError(
    'NotFoundException',
    named ? `Alias ${arn ?? ''} is not found.` : `Key '${arn ?? ''}' does not exist`,
  );
}

const ofCiphertext = ' on the resource associated with this ciphertext';

const isOfCiphertext = ({ resource, named }: Resolved): boolean => resource.kind === 'key' && named === undefined;

function denied(caller: Caller, resolved: Resolved, decision: Decision & { readonly effect: 'deny' }): BridgeError {
  const { arn, resource } = resolved;
  const { permission } = resource;
  const where = isOfCiphertext(resolved) ? ofCiphertext : arn === undefined ? '' : ` on resource: ${arn}`;
  const policy = `${decision.by}-based policy`;
  const why = decision.explicit
    ? `with an explicit deny in ${decision.by === 'identity' ? 'an' : 'a'} ${policy}`
    : `because no ${policy} allows the ${permission} action`;
  return refusal(caller, resolved, `${where} ${why}`);
}

/** The same words whether the resource is missing, foreign or closed to the caller. */
function hidden(caller: Caller, resolved: Resolved): BridgeError {
  const where = isOfCiphertext(resolved) ? ofCiphertext : ' on this resource';
  return refusal(
    caller,
    resolved,
    `${where} because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`,
  );
}

function refusal({ principal }: Caller, { resource }: Resolved, why: string): BridgeError {
  return new BridgeError(
    'AccessDeniedException',
    `User: ${nameOf(principal)} is not authorized to perform: ${resource.permission}${why}`,
  );
}
