// From an operation's targets to the keys and aliases they name. Nothing is decided here: what is missing stays missing until
// `authorize` has said whether the caller may know.
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
  readonly alias: Alias | undefined;
}

export async function resolve(
  store: Store,
  caller: Caller,
  operation: AnyOperation,
  input: Input,
): Promise<Resolved[]> {
  const targets = operation.targets(input);
  const resolved: Resolved[] = [];
  for (const target of targets) resolved.push(await resolveTarget(store, caller, target));
  return resolved;
}

async function resolveTarget(store: Store, caller: Caller, target: Target): Promise<Resolved> {
  const { region } = caller;
  const { accountId } = caller.principal;
  switch (target.kind) {
    case 'account':
      return { target, arn: undefined, ownerId: accountId, key: undefined, alias: undefined };
    case 'key':
      return resolveKeyId(store, caller, target);
    case 'ciphertext': {
      const parts = parseCiphertext(target.ciphertext);
      if (parts === undefined) throw new BridgeError('InvalidCiphertextException');
      const key = present(await store.keys.findByMaterial(region, parts.materialId.toString('hex')));
      return { target, arn: key && arnOfKey(key), ownerId: key?.accountId, key, alias: undefined };
    }
    case 'alias': {
      const alias = await store.aliases.find({ region, accountId }, target.aliasName);
      const arn = aliasArn(region, accountId, target.aliasName);
      return { target, arn, ownerId: accountId, key: undefined, alias };
    }
    case 'keyOfAlias':
      return resolveAlias(store, target, region, accountId, target.aliasName);
  }
}

async function resolveKeyId(store: Store, caller: Caller, target: Target & { kind: 'key' }): Promise<Resolved> {
  const form = parseKeyId(target.keyId, caller.region, caller.principal.accountId, target.aliases);
  if (form.kind === 'alias') return resolveAlias(store, target, caller.region, form.accountId, form.aliasName);
  const ref = { region: caller.region, accountId: form.accountId, keyId: form.keyId };
  const key = present(await store.keys.find(ref));
  const arn = key === undefined ? keyArn(ref.region, ref.accountId, ref.keyId) : arnOfKey(key);
  return { target, arn, ownerId: form.accountId, key, alias: undefined };
}

async function resolveAlias(
  store: Store,
  target: Target,
  region: string,
  accountId: string,
  aliasName: string,
): Promise<Resolved> {
  const alias = await store.aliases.find({ region, accountId }, aliasName);
  const key = alias && present(await store.keys.find({ region, accountId, keyId: alias.keyId }));
  const arn = key === undefined ? aliasArn(region, accountId, aliasName) : arnOfKey(key);
  return { target, arn, ownerId: accountId, key, alias };
}

/** A key that is being created is nobody's yet: its creator has no answer, and may never get one. */
function present(key: Key | undefined): Key | undefined {
  return key?.status === 'creating' ? undefined : key;
}
