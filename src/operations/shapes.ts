// Input shapes: how JSON becomes a typed input, in AWS's words. A wrong JSON type is a SerializationException; broken constraints are
// collected and become one ValidationException. Unknown members are ignored, as AWS does.
import { BridgeError } from '../kernel/errors.js';

/** `at` is the member's path as AWS prints it: lower camel case, list members counted from one. */
export interface Shape<T> {
  readonly read: (value: unknown, at: string, violations: string[]) => T;
}

type Members = Readonly<Record<string, Shape<unknown>>>;
type ValueOf<S> = S extends Shape<infer T> ? T : never;
export type Struct<M extends Members> = { readonly [K in keyof M]: ValueOf<M[K]> };

/** AWS Coral's answer to a value of the wrong JSON type. */
const serialization = (): BridgeError =>
  new BridgeError('SerializationException', 'Start of structure or map found where not expected.');

/** Member names in messages and audit records. */
export const lowerFirst = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1);
const fails = (value: string | undefined, at: string, must: string): string =>
  `Value ${value === undefined ? '' : `'${value}' `}at '${at}' failed to satisfy constraint: Member must ${must}`;

/** A list is read no further than this: it could make an answer many times the size of its request. */
const mostViolations = 100;

/** Reads the whole input of an operation. ValidationException lists every violation in one message. */
export function readInput<T>(shape: Shape<T>, json: unknown): T {
  const violations: string[] = [];
  const input = shape.read(json, '', violations);
  if (violations.length > 0) {
    const count = violations.length === 1 ? '1 validation error' : `${violations.length} validation errors`;
    throw new BridgeError('ValidationException', `${count} detected: ${violations.join('; ')}`);
  }
  return input;
}

export function struct<M extends Members>(members: M): Shape<Struct<M>> {
  const fields = Object.entries(members).map(([name, shape]) => [name, lowerFirst(name), shape] as const);
  return {
    read: (value, at, violations) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw serialization();
      const prefix = at === '' ? '' : `${at}.`;
      const source = value as Record<string, unknown>;
      const result: Record<string, unknown> = {};
      for (const [name, path, shape] of fields) {
        const member = Object.hasOwn(source, name) ? source[name] : undefined;
        result[name] = shape.read(member ?? undefined, prefix + path, violations);
      }
      return result as Struct<M>;
    },
  };
}

export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return { read: (value, at, violations) => (value === undefined ? undefined : shape.read(value, at, violations)) };
}

export function withDefault<T>(shape: Shape<T>, fallback: T): Shape<T> {
  return { read: (value, at, violations) => (value === undefined ? fallback : shape.read(value, at, violations)) };
}

export function required<T>(shape: Shape<T>): Shape<T> {
  return {
    read: (value, at, violations) => {
      if (value !== undefined) return shape.read(value, at, violations);
      violations.push(`Value null at '${at}' failed to satisfy constraint: Member must not be null`);
      return undefined as T; // never used: readInput throws
    },
  };
}

export interface StringRule {
  readonly min: number;
  readonly max: number;
  /** As AWS prints it; matched against the whole string. */
  readonly pattern?: string;
}

export function text(rule: StringRule): Shape<string> {
  const whole = rule.pattern === undefined ? undefined : new RegExp(`^(?:${rule.pattern})$`, 'u');
  return {
    read: (value, at, violations) => {
      const string = wellFormed(value);
      if (string.length > rule.max) violations.push(fails(string, at, `have length less than or equal to ${rule.max}`));
      if (string.length < rule.min)
        violations.push(fails(string, at, `have length greater than or equal to ${rule.min}`));
      if (whole?.test(string) === false) {
        violations.push(fails(string, at, `satisfy regular expression pattern: ${rule.pattern ?? ''}`));
      }
      return string;
    },
  };
}

export function oneOf<T extends string>(values: readonly T[]): Shape<T> {
  const known: ReadonlySet<string> = new Set(values);
  return {
    read: (value, at, violations) => {
      const string = wellFormed(value);
      if (!known.has(string)) violations.push(fails(string, at, `satisfy enum value set: [${values.join(', ')}]`));
      return string as T;
    },
  };
}

export function integer(min: number, max: number): Shape<number> {
  return {
    read: (value, at, violations) => {
      if (typeof value !== 'number' || !Number.isInteger(value)) throw serialization();
      if (value > max) violations.push(fails(String(value), at, `have value less than or equal to ${max}`));
      if (value < min) violations.push(fails(String(value), at, `have value greater than or equal to ${min}`));
      return value;
    },
  };
}

export const boolean: Shape<boolean> = {
  read: (value) => {
    if (typeof value !== 'boolean') throw serialization();
    return value;
  },
};

/** Base64, strictly: what does not encode back to itself is refused. The value is left out of messages. */
export function blob(min: number, max: number): Shape<Buffer> {
  return {
    read: (value, at, violations) => {
      const encoded = wellFormed(value);
      const bytes = Buffer.from(encoded, 'base64');
      if (bytes.toString('base64') !== encoded) throw serialization();
      if (bytes.length > max) violations.push(fails(undefined, at, `have length less than or equal to ${max}`));
      if (bytes.length < min) violations.push(fails(undefined, at, `have length greater than or equal to ${min}`));
      return bytes;
    },
  };
}

export function list<T>(item: Shape<T>, max = Infinity): Shape<readonly T[]> {
  return {
    read: (value, at, violations) => {
      if (!Array.isArray(value)) throw serialization();
      if (value.length > max) {
        violations.push(fails(undefined, at, `have length less than or equal to ${max}`));
        return [];
      }
      const items: T[] = [];
      for (const [i, member] of (value as unknown[]).entries()) {
        if (member === null) throw serialization();
        if (violations.length >= mostViolations) break;
        items.push(item.read(member, `${at}.${i + 1}.member`, violations));
      }
      return items;
    },
  };
}

/** A map of strings to strings, as the encryption context is. */
export const stringMap: Shape<Readonly<Record<string, string>>> = {
  read: (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw serialization();
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [wellFormed(name), wellFormed(member)]));
  },
};

/** A lone surrogate has no UTF-8 form: two different strings would become the same bytes. */
function wellFormed(value: unknown): string {
  if (typeof value !== 'string' || !isWellFormed(value)) throw serialization();
  return value;
}

const loneSurrogate = /\p{Surrogate}/u;
function isWellFormed(value: string): boolean {
  return !loneSurrogate.test(value);
}
