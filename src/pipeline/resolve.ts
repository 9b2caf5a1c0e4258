// From an operation's resources to the keys and aliases that its input names. Nothing is decided here: what is missing stays missing until
// `authorize` has said whether the caller may know. What belongs to another account is missing too when it cannot be looked up.
import { aliasArn, keyArn } from '../kernel/arn.js';
import { BridgeError } from '../kernel/errors.js';
import { parseCiphertext } from '../model/ciphertext-blob.js';
import { arnOfKey, type Alias, type Key } from '../model/key.js';
import type { AnyOperation, Input, NamedResource } from '../operations/define.js';
import { parseKeyId } from '../operations/key-id.js';
import type { Resource } from '../operations/resources.js';
import type { Caller } from '../ports/authenticator.js';
import type { Store } from '../ports/store.js';

export interface Resolved {
  /** The operation's name for it. */
  readonly name: string;
  readonly resource: Resource;
  /** What the input has for it; undefined for the account and for what a ciphertext names. */
  readonly named: string | undefined;
  /** Of the key or alias that was named, existing or not; undefined for the account and for a ciphertext of no known key. */
  readonly arn: string | undefined;
  /** The account the named resource belongs to; undefined for a ciphertext of no known key. */
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

type Members = Readonly<Record<string, unknown>>;

export async function resolve(
  store: Store,
  caller: Caller,
  operation: AnyOperation,
  input: Input,
  fault: (error: unknown) => void,
): Promise<Resolved[]> {
  const lookup: Lookup = { store, region: caller.region, accountId: caller.principal.accountId, fault };
  const members = input as Members;
  const resolved: Resolved[] = [];
  for (const named of operation.resources) {
    if (isAsked(named.resource, members)) resolved.push(await resolveResource(lookup, named, members));
  }
  return resolved;
}

function isAsked(resource: Resource, members: Members): boolean {
  if (resource.kind !== 'account' || resource.ifGiven === undefined) return true;
  return (members[resource.ifGiven] as readonly unknown[]).length > 0;
}

async function resolveResource(lookup: Lookup, { name, resource }: NamedResource, members: Members): Promise<Resolved> {
  const { store, region, accountId } = lookup;
  if (resource.kind === 'account')
    return resolved({ name, resource, named: undefined }, undefined, accountId, undefined);
  const named = members[resource.member] as string | undefined;
  if (named === undefined) {
    // `validate` has refused a call that names the key in neither way.
    if (resource.kind !== 'key' || resource.ciphertext === undefined) throw new Error(`nothing names the ${name}`);
    return resolveCiphertext(lookup, { name, resource }, members[resource.ciphertext] as Buffer);
  }
  const asked = { name, resource, named };
  switch (resource.kind) {
    case 'key':
      return resolveKeyId(lookup, asked, resource.aliases);
    case 'alias': {
      const alias = await store.aliases.find({ region, accountId }, named);
      return resolved(asked, aliasArn(region, accountId, named), accountId, undefined, undefined, alias);
    }
    case 'keyOfAlias':
      return resolveAlias(lookup, asked, accountId, named);
  }
}

interface Asked extends NamedResource {
  readonly named: string | undefined;
}

async function resolveKeyId(
  lookup: Lookup,
  asked: Asked & { readonly named: string },
  aliases: boolean,
): Promise<Resolved> {
  const { store, region, accountId } = lookup;
  const form = parseKeyId(asked.named, region, accountId, aliases);
  if (form.kind === 'alias') return resolveAlias(lookup, asked, form.accountId, form.aliasName);
  const ref = { region, accountId: form.accountId, keyId: form.keyId };
  const arn = keyArn(ref.region, ref.accountId, ref.keyId);
  if (form.accountId !== accountId)
    return foreign(lookup, asked, arn, form.accountId, store.foreign.key(accountId, ref));
  const key = present(await store.keys.find(ref));
  return resolved(asked, key === undefined ? arn : arnOfKey(key), accountId, key);
}

async function resolveAlias(lookup: Lookup, asked: Asked, ownerId: string, aliasName: string): Promise<Resolved> {
  const { store, region, accountId } = lookup;
  const scope = { region, accountId: ownerId };
  if (ownerId !== accountId) {
    const arn = aliasArn(region, ownerId, aliasName);
    return foreign(lookup, asked, arn, ownerId, store.foreign.keyOfAlias(accountId, scope, aliasName));
  }
  const alias = await store.aliases.find(scope, aliasName);
  const key = alias && present(await store.keys.find({ region, accountId, keyId: alias.keyId }));
  const arn = key === undefined ? aliasArn(region, accountId, aliasName) : arnOfKey(key);
  return resolved(asked, arn, ownerId, key, undefined, alias);
}

/** A key that is not the caller's own is looked for a second time, among all: a key that nobody knows is not the caller's own either. */
async function resolveCiphertext(lookup: Lookup, resource: NamedResource, ciphertext: Buffer): Promise<Resolved> {
  const { store, region, accountId } = lookup;
  const asked = { ...resource, named: undefined };
  const parts = parseCiphertext(ciphertext);
  if (parts === undefined) throw new BridgeError('InvalidCiphertextException');
  const ckaId = parts.materialId.toString('hex');
  const key = present(await store.keys.findByMaterial(region, ckaId, accountId));
  if (key !== undefined) return resolved(asked, arnOfKey(key), accountId, key);
  return foreign(lookup, asked, undefined, undefined, store.foreign.keyOfMaterial(accountId, region, ckaId));
}

async function foreign(
  { fault }: Lookup,
  asked: Asked,
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
  if (key === undefined || present(key) === undefined) return resolved(asked, arn, ownerId, undefined, key);
  return resolved(asked, arnOfKey(key), key.accountId, key);
}

/** One literal for all. */
function resolved(
  { name, resource, named }: Asked,
  arn: string | undefined,
  ownerId: string | undefined,
  key: Key | undefined,
  standIn?: Key,
  alias?: Alias,
): Resolved {
  return { name, resource, named, arn, ownerId, key, standIn, alias };
}

/** A key that is being created is nobody's yet: its creator has no answer, and may never get one. */
function present(key: Key | undefined): Key | undefined {
  return key?.status === 'creating' ? undefined : key;
}
