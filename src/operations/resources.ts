// The resources that operations touch, as data: the permission each needs, and which members of the input name it.
import type { Alias, Key } from '../model/key.js';
import type { KeyUsage } from '../model/key-specs.js';
import type { Permission } from '../model/permission.js';

/**
 * Key states an operation accepts (AWS KMS Developer Guide, "Key states of AWS KMS keys"):
 * any · usable = Enabled · manageable = not PendingDeletion · pendingDeletion = only that.
 */
export type StateRule = 'any' | 'usable' | 'manageable' | 'pendingDeletion';

/** Condition keys whose values the input has. The encryption context and tags stand for all keys that are made of their names. */
export type RequestCondition =
  | 'aws:RequestTag'
  | 'kms:BypassPolicyLockoutSafetyCheck'
  | 'kms:EncryptionAlgorithm'
  | 'kms:EncryptionContext'
  | 'kms:KeyOrigin'
  | 'kms:KeySpec'
  | 'kms:KeyUsage'
  | 'kms:MacAlgorithm'
  | 'kms:MultiRegion'
  | 'kms:PolicyName'
  | 'kms:ScheduleKeyDeletionPendingWindowInDays';

/** The member that has each condition's value. */
export type Conditions<M extends string> = Readonly<Partial<Record<RequestCondition, M>>>;

interface Needs<M extends string> {
  readonly permission: Permission;
  readonly conditions: Conditions<M> | undefined;
}

/** The account itself. `ifGiven`: asked only when that list has something in it. */
interface AccountResource<M extends string> extends Needs<M> {
  readonly kind: 'account';
  readonly ifGiven: M | undefined;
}

/** A key by any form of KeyId; or, when that is not given, the one that made the ciphertext. */
interface KeyResource<M extends string> extends Needs<M> {
  readonly kind: 'key';
  readonly member: M;
  readonly ciphertext: M | undefined;
  /** Whether AWS accepts an alias here. */
  readonly aliases: boolean;
  readonly accepts: StateRule;
  /** What the key must be for; undefined: anything. */
  readonly usage: KeyUsage | undefined;
}

/** The alias itself, which need not exist yet. */
interface AliasResource<M extends string> extends Needs<M> {
  readonly kind: 'alias';
  readonly member: M;
}

/** The key an existing alias points at, in any state: an alias may be taken away from it. */
interface KeyOfAliasResource<M extends string> extends Needs<M> {
  readonly kind: 'keyOfAlias';
  readonly member: M;
}

/** `M`: the members of the input that are looked at. */
export type Resource<M extends string = string> =
  AccountResource<M> | KeyResource<M> | AliasResource<M> | KeyOfAliasResource<M>;

/** By the names that the operation has for them, in the order in which they are asked. */
export type Resources<M extends string = string> = Readonly<Record<string, Resource<M>>>;

/** The keys of an authorized call. */
export type KeysOf<R> = { readonly [K in keyof R as R[K] extends { kind: 'key' | 'keyOfAlias' } ? K : never]: Key };

/** Its aliases: one that is to be made may not be there. */
export type AliasesOf<R> = {
  readonly [K in keyof R as R[K] extends { kind: 'alias' } ? K : never]: Alias | undefined;
} & { readonly [K in keyof R as R[K] extends { kind: 'keyOfAlias' } ? K : never]: Alias };

/** `never` unless something is asked of every call. */
export type AskedAlways<R> = {
  [K in keyof R]: R[K] extends { ifGiven: string } ? never : K;
}[keyof R];

type Asking<M extends string> = AccountResource<M> & { readonly ifGiven: undefined };

export function account(permission: Permission): Asking<never>;
export function account<const C extends string>(permission: Permission, conditions: Conditions<C>): Asking<C>;
export function account(permission: Permission, conditions?: Conditions<string>): Asking<string> {
  return { kind: 'account', permission, conditions, ifGiven: undefined };
}

export const accountIfGiven = <const M extends string>(
  permission: Permission,
  ifGiven: M,
  conditions: Conditions<M>,
): AccountResource<M> & { readonly ifGiven: M } => ({ kind: 'account', permission, conditions, ifGiven });

interface KeyRules {
  readonly accepts: StateRule;
  readonly usage?: KeyUsage;
  readonly aliases?: boolean;
}

interface ConditionedKeyRules<C extends string> extends KeyRules {
  readonly conditions: Conditions<C>;
}

export function key<const M extends string, const C extends string>(
  permission: Permission,
  member: M,
  rules: ConditionedKeyRules<C>,
): KeyResource<M | C>;
export function key<const M extends string>(permission: Permission, member: M, rules: KeyRules): KeyResource<M>;
export function key(
  permission: Permission,
  member: string,
  { accepts, usage, aliases = false, conditions }: KeyRules & { readonly conditions?: Conditions<string> },
): KeyResource<string> {
  return { kind: 'key', permission, conditions, member, ciphertext: undefined, aliases, accepts, usage };
}

export const keyOrCiphertext = <const M extends string, const C extends string>(
  permission: Permission,
  member: M,
  ciphertext: M,
  { accepts, conditions }: ConditionedKeyRules<C>,
): KeyResource<M | C> => ({
  kind: 'key',
  permission,
  conditions,
  member,
  ciphertext,
  aliases: true,
  accepts,
  usage: 'ENCRYPT_DECRYPT',
});

export const alias = <const M extends string>(permission: Permission, member: M): AliasResource<M> => ({
  kind: 'alias',
  permission,
  conditions: undefined,
  member,
});

export const keyOfAlias = <const M extends string>(permission: Permission, member: M): KeyOfAliasResource<M> => ({
  kind: 'keyOfAlias',
  permission,
  conditions: undefined,
  member,
});
