// Input shapes: how JSON becomes a typed input, in AWS's words. A wrong JSON type is a SerializationException; broken constraints are
// collected and become one ValidationException. Unknown members are ignored, as AWS does. Lists and maps are no longer than their bound
// when their members are looked at.
import { BridgeError } from '../kernel/errors.js';

/** `at` is the member's path as AWS prints it: lower camel case, list members counted from one. */
export interface Shape<T> {
  readonly read: (value: unknown, at: string, reading: Reading) => T;
}

/** One input being read. */
export interface Reading {
  readonly violations: string[];
  /** The same JSON with every number as the text that stood in its place; asked once. */
  readonly numbersAsText: () => unknown;
  textual: unknown;
}

type Members = Readonly<Record<string, Shape<unknown>>>;
type ValueOf<S> = S extends Shape<infer T> ? T : never;
export type Struct<M extends Members> = { readonly [K in keyof M]: ValueOf<M[K]> };

const serialization = (message?: string): BridgeError => new BridgeError('SerializationException', message);

/** What AWS's framework says of a value of the wrong JSON type, with its full stop and without; it has no words for null. */
function wrongType(
  value: unknown,
  expected: 'a String' | 'an Integer' | 'a Boolean' | 'list or null' | 'null',
): BridgeError {
  if (Array.isArray(value)) return serialization('Start of list found where not expected');
  if (typeof value === 'object' && value !== null)
    return serialization('Start of structure or map found where not expected.');
  if (value === null) return serialization();
  if (expected === 'list or null' || expected === 'null') return serialization(`Expected ${expected}`);
  const token = typeof value === 'boolean' ? String(value).toUpperCase() : (typeof value).toUpperCase();
  return serialization(`${token}_VALUE can not be converted to ${expected}`);
}

/** Member names in messages and audit records. */
export const lowerFirst = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1);
const upperFirst = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
const fails = (value: string | undefined, at: string, must: string): string =>
  `Value ${value === undefined ? '' : `'${value}' `}at '${at}' failed to satisfy constraint: Member must ${must}`;

/** A list is read no further than this: it could make an answer many times the size of its request. */
const mostViolations = 100;

/**
 * Reads the whole input of an operation. ValidationException lists every violation in one message. `numbersAsText` is asked for when a
 * number stands where a text is meant and is taken as one.
 */
export function readInput<T>(shape: Shape<T>, json: unknown, numbersAsText: () => unknown = () => json): T {
  // AWS's framework has no words for a body that is nothing, or a bare value.
  if (typeof json !== 'object' || json === null) throw serialization();
  const violations: string[] = [];
  const input = shape.read(json, '', { violations, numbersAsText, textual: undefined });
  if (violations.length > 0) {
    const count = violations.length === 1 ? '1 validation error' : `${violations.length} validation errors`;
    throw new BridgeError('ValidationException', `${count} detected: ${violations.join('; ')}`);
  }
  return input;
}

export function struct<M extends Members>(members: M): Shape<Struct<M>> {
  const fields = Object.entries(members).map(([name, shape]) => [name, lowerFirst(name), shape] as const);
  return {
    read: (value, at, reading) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(value, 'null');
      const prefix = at === '' ? '' : `${at}.`;
      const source = value as Record<string, unknown>;
      const result: Record<string, unknown> = {};
      for (const [name, path, shape] of fields) {
        const member = Object.hasOwn(source, name) ? source[name] : undefined;
        result[name] = shape.read(member ?? undefined, prefix + path, reading);
      }
      return result as Struct<M>;
    },
  };
}

export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return { read: (value, at, reading) => (value === undefined ? undefined : shape.read(value, at, reading)) };
}

export function withDefault<T>(shape: Shape<T>, fallback: T): Shape<T> {
  return { read: (value, at, reading) => (value === undefined ? fallback : shape.read(value, at, reading)) };
}

export function required<T>(shape: Shape<T>): Shape<T> {
  return {
    read: (value, at, reading) => {
      if (value !== undefined) return shape.read(value, at, reading);
      reading.violations.push(`Value null at '${at}' failed to satisfy constraint: Member must not be null`);
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
    read: (value, at, { violations }) => {
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
    read: (value, at, { violations }) => {
      const string = wellFormed(value);
      if (!known.has(string)) violations.push(fails(string, at, `satisfy enum value set: [${values.join(', ')}]`));
      return string as T;
    },
  };
}

export function integer(min: number, max: number): Shape<number> {
  return {
    read: (value, at, { violations }) => {
      if (typeof value !== 'number') throw wrongType(value, 'an Integer');
      // AWS cuts a fraction off.
      const whole = Math.trunc(value);
      if (whole > max) violations.push(fails(String(whole), at, `have value less than or equal to ${max}`));
      if (whole < min) violations.push(fails(String(whole), at, `have value greater than or equal to ${min}`));
      return whole;
    },
  };
}

export const boolean: Shape<boolean> = {
  read: (value) => {
    if (typeof value !== 'boolean') throw wrongType(value, 'a Boolean');
    return value;
  },
};

/** Base64, strictly: what does not encode back to itself is refused. The value is left out of messages. */
export function blob(min: number, max: number): Shape<Buffer> {
  return {
    read: (value, at, { violations }) => {
      const encoded = wellFormed(value);
      const bytes = Buffer.from(encoded, 'base64');
      if (bytes.toString('base64') !== encoded) throw serialization();
      if (bytes.length > max) violations.push(fails(undefined, at, `have length less than or equal to ${max}`));
      if (bytes.length < min) violations.push(fails(undefined, at, `have length greater than or equal to ${min}`));
      return bytes;
    },
  };
}

/** `max`: AWS's where it has one. */
export function list<T>(item: Shape<T>, max: number): Shape<readonly T[]> {
  return {
    read: (value, at, reading) => {
      const { violations } = reading;
      if (!Array.isArray(value)) throw wrongType(value, 'list or null');
      if (value.length > max) {
        violations.push(fails(undefined, at, `have length less than or equal to ${max}`));
        return [];
      }
      const items: T[] = [];
      for (const [i, member] of (value as unknown[]).entries()) {
        if (violations.length >= mostViolations) break;
        if (member === null) throw serialization();
        items.push(item.read(member, `${at}.${i + 1}.member`, reading));
      }
      return items;
    },
  };
}

/** What a pair of a map counts for beside its bytes: a length of two bytes for each half, as the AWS Encryption SDK writes them. */
const pairBytes = 4;

/**
 * A map of strings to strings, as the encryption context is: at most `maxBytes` of UTF-8 in all. Numbers, true and false are taken as
 * the text they were written in (AWS KMS Developer Guide, "Encryption context"). The map that is given is the one that is returned.
 */
export function stringMap(maxBytes: number): Shape<Readonly<Record<string, string>>> {
  return {
    read: (value, at, reading) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(value, 'null');
      const map = value as Record<string, unknown>;
      let leastBytes = 0;
      for (const name in map) {
        const member = map[name];
        const text = mapText(member, name, at, reading);
        leastBytes += pairBytes + wellFormed(name).length + text.length;
        if (leastBytes > maxBytes) break;
        // Its own property already, so that `__proto__` is one like any other.
        if (text !== member) map[name] = text;
      }
      const texts = map as Record<string, string>;
      if (leastBytes > maxBytes || (leastBytes * 3 > maxBytes && sizeOf(texts) > maxBytes)) {
        reading.violations.push(
          fails(undefined, at, `have a size of keys and values less than or equal to ${maxBytes} bytes`),
        );
      }
      return texts;
    },
  };
}

function mapText(value: unknown, name: string, at: string, reading: Reading): string {
  if (typeof value === 'boolean') return String(value);
  if (typeof value !== 'number') return wellFormed(value);
  let written = (reading.textual ??= reading.numbersAsText());
  for (const member of [...at.split('.').map(upperFirst), name]) written = (written as Record<string, unknown>)[member];
  return String(written);
}

function sizeOf(map: Readonly<Record<string, string>>): number {
  let bytes = 0;
  for (const name in map) bytes += pairBytes + Buffer.byteLength(name) + Buffer.byteLength(map[name] ?? '');
  return bytes;
}

/** A lone surrogate has no UTF-8 form: two different strings would become the same bytes. */
function wellFormed(value: unknown): string {
  if (typeof value !== 'string') throw wrongType(value, 'a String');
  if (loneSurrogate.test(value)) throw serialization();
  return value;
}

const loneSurrogate = /\p{Surrogate}/u;
