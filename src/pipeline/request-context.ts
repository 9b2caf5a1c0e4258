// The condition values of one request at one of its resources (AWS KMS Developer Guide, "AWS KMS condition keys"), computed when a policy
// asks for one: most never are.
import type { Tag } from '../model/key.js';
import type { Input } from '../operations/define.js';
import { namesAlias } from '../operations/key-id.js';
import type { RequestCondition } from '../operations/resources.js';
import type { ConditionValue, Context } from '../policy/context.js';
import type { Caller } from '../ports/authenticator.js';
import type { Resolved } from './resolve.js';

/** A prefix that stands for one key for each name that the caller gave. */
const contextPrefix = 'kms:EncryptionContext:';
const tagPrefix = 'aws:RequestTag/';

export class RequestContext implements Context {
  readonly #caller: Caller;
  readonly #input: Input;
  readonly #resolved: Resolved;

  constructor(caller: Caller, input: Input, resolved: Resolved) {
    this.#caller = caller;
    this.#input = input;
    this.#resolved = resolved;
  }

  value(conditionKey: string): ConditionValue | undefined {
    if (conditionKey.startsWith(contextPrefix)) return this.#contextValue(conditionKey.slice(contextPrefix.length));
    if (conditionKey.startsWith(tagPrefix)) return this.#tagValue(conditionKey.slice(tagPrefix.length));
    switch (conditionKey) {
      case 'kms:CallerAccount':
        return this.#caller.principal.accountId;
      case 'kms:EncryptionContextKeys':
        return names(this.#encryptionContext());
      case 'kms:RequestAlias':
        return this.#requestAlias();
      case 'aws:TagKeys':
        return names(this.#tags()?.map(tagKey));
      case 'aws:RequestedRegion':
        return this.#caller.region;
      default:
        return textOf(this.#member(conditionKey));
    }
  }

  /** Of a condition that the operation has a member for. */
  #member(conditionKey: string): unknown {
    const member = this.#resolved.resource.conditions?.[conditionKey as RequestCondition];
    return member === undefined ? undefined : (this.#input as Readonly<Record<string, unknown>>)[member];
  }

  #encryptionContext(): Readonly<Record<string, string>> | undefined {
    return this.#member('kms:EncryptionContext') as Readonly<Record<string, string>> | undefined;
  }

  /** Names that differ by case alone are one condition key, which then has all their values. */
  #contextValue(name: string): ConditionValue | undefined {
    const wanted = name.toLowerCase();
    const values = Object.entries(this.#encryptionContext() ?? {}).filter(([key]) => key.toLowerCase() === wanted);
    return values.length > 1 ? values.map(([, value]) => value) : values[0]?.[1];
  }

  /** Pairs of tags, or the keys of those that are to be removed. */
  #tags(): readonly (string | Tag)[] | undefined {
    return this.#member('aws:RequestTag') as readonly (string | Tag)[] | undefined;
  }

  #tagValue(name: string): string | undefined {
    const tag = this.#tags()?.find((candidate) => typeof candidate === 'object' && candidate.TagKey === name);
    return typeof tag === 'object' ? tag.TagValue : undefined;
  }

  /** The name of the alias by which the request names the key; a key that is named by its id has none. */
  #requestAlias(): string | undefined {
    const { resource, named } = this.#resolved;
    if (resource.kind !== 'key' || named === undefined || !namesAlias(named)) return undefined;
    return named.slice(named.indexOf('alias/'));
  }
}

const tagKey = (tag: string | Tag): string => (typeof tag === 'string' ? tag : tag.TagKey);

function names(value: readonly string[] | Readonly<Record<string, string>> | undefined): readonly string[] | undefined {
  const all = Array.isArray(value) ? (value as readonly string[]) : Object.keys(value ?? {});
  return all.length === 0 ? undefined : all;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : undefined;
}
