// From an operation's targets to the keys and aliases they name. Nothing is decided here: what is missing stays missing until
// `authorize` has said whether the caller may know. What belongs to another account is missing too when it cannot be looked up.
import { aliasArn, keyArn } from '../kernel/arn.js';
import { BridgeError } from '../kernel/errors.js';
import { parseCiphertext } from '../model/ciphertext-blob.js';
import { arnOfKey, type Alias, type Key } from '../model/key.js';
import type { AnyOperation, Input, Target } from '../operations/define.js';
import { parseKeyId } from '../operations/key-id.js';
import type { Caller } from '../ports/authenticator.js';
import type { Store } from '../ports/store.js';

export interface Resolved {
  readonly target: Target;
  /** Of the key or alias that was named, existing or not; undefined for the account and for a ciphertext of no known key. */
  readonly arn: string | undefined;
  /** The account the named resource belongs to; undefined as above. */
  readonly ownerId: string | undefined;
  readonly key: Key | undefined;
  /** Evaluated in the place of another account's key that is missing, so that the answer takes as long. */
  readonly standIn: Key | undefined;
  readonly alias: Alias | undefined;
}

/** Who resolves, with what. `fault` is told why another account's key could not be looked up: the caller hears of absence. */
interface Lookup {
  readonly store: Store;
  readonly region: string;
  readonly accountId: string;
  readonly fault: (error: unknown) => void;
}

export async function resolve(
  store: Store,
  caller: Caller,
  operation: AnyOperation,
  input: Input,
  fault: (error: unknown) => void,
): Promise<Resolved[]> {
  const lookup: Lookup = { store, region: caller.region, accountId: caller.principal.accountId, fault };
  const targets = operation.targets(input);
  const resolved: Resolved[] = [];
  for (const target of targets) resolved.push(await resolveTarget(lookup, target));
  return resolved;
}

async function resolveTarget(lookup: Lookup, target: Target): Promise<Resolved> {
  const { store, region, accountId } = lookup;
  const nothing = { target, arn: undefined, key: undefined, standIn: undefined, alias: undefined };
  switch (target.kind) {
    case 'account':
      return { ...nothing, ownerId: accountId };
    case 'key':
      return resolveKeyId(lookup, target);
    case 'ciphertext':
      return resolveCiphertext(lookup, target);
    case 'alias': {
      const alias = await store.aliases.find({ region, accountId }, target.aliasName);
      return { ...nothing, arn: aliasArn(region, accountId, target.aliasName), ownerId: accountId, alias };
    }
    case 'keyOfAlias':
      return resolveAlias(lookup, target, accountId, target.aliasName);
  }
}

async function resolveKeyId(lookup: Lookup, target: Target & { kind: 'key' }): Promise<Resolved> {
  const { store, region, accountId } = lookup;
  const form = parseKeyId(target.keyId, region, accountId, target.aliases);
  if (form.kind === 'alias') return resolveAlias(lookup, target, form.accountId, form.aliasName);
  const ref = { region, accountId: form.accountId, keyId: form.keyId };
  const arn = keyArn(ref.region, ref.accountId, ref.keyId);
  if (form.accountId !== accountId)
    return foreign(lookup, target, arn, form.accountId, store.foreign.key(accountId, ref));
  const key = present(await store.keys.find(ref));
  const named = key === undefined ? arn : arnOfKey(key);
  return { target, arn: named, ownerId: accountId, key, standIn: undefined, alias: undefined };
}

async function resolveAlias(lookup: Lookup, target: Target, ownerId: string, aliasName: string): Promise<Resolved> {
  const { store, region, accountId } = lookup;
  const scope = { region, accountId: ownerId };
  if (ownerId !== accountId) {
    const arn = aliasArn(region, ownerId, aliasName);
    return foreign(lookup, target, arn, ownerId, store.foreign.keyOfAlias(accountId, scope, aliasName));
  }
  const alias = await store.aliases.find(scope, aliasName);
  const key = alias && present(await store.keys.find({ region, accountId, keyId: alias.keyId }));
  const arn = key === undefined ? aliasArn(region, accountId, aliasName) : arnOfKey(key);
  return { target, arn, ownerId, key, standIn: undefined, alias };
}

/** A key that is not the caller's own is looked for a second time, among all: a key that nobody knows is not the caller's own either. */
async function resolveCiphertext(lookup: Lookup, target: Target & { kind: 'ciphertext' }): Promise<Resolved> {
  const { store, region, accountId } = lookup;
  const parts = parseCiphertext(target.ciphertext);
  if (parts === undefined) throw new BridgeError('InvalidCiphertextException');
  const ckaId = parts.materialId.toString('hex');
  const key = present(await store.keys.findByMaterial(region, ckaId, accountId));
  if (key !== undefined) {
    return { target, arn: arnOfKey(key), ownerId: accountId, key, standIn: undefined, alias: undefined };
  }
  return foreign(lookup, target, undefined, undefined, store.foreign.keyOfMaterial(accountId, region, ckaId));
}

async function foreign(
  { fault }: Lookup,
  target: Target,
  arn: string | undefined,
  ownerId: string | undefined,
  found: Promise<Key | undefined>,
): Promise<Resolved> {
  let key: Key | undefined;
  try {
    key = await found;
  } catch (error) {
    // A row that is broken, or whose token is away, is there: that is for the operator to know.
    fault(error);
  }
  if (key === undefined || present(key) === undefined)
    return { target, arn, ownerId, key: undefined, standIn: key, alias: undefined };
  return { target, arn: arnOfKey(key), ownerId: key.accountId, key, standIn: undefined, alias: undefined };
}

/** A key that is being created is nobody's yet: its creator has no answer, and may never get one. */
function present(key: Key | undefined): Key | undefined {
  return key?.status === 'creating' ? undefined : key;
}
