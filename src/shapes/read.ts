// How JSON becomes a typed input, in AWS's words. A wrong JSON type is a SerializationException; broken constraints are collected and
// become one ValidationException. Unknown members are ignored, as AWS does. Lists and maps are no longer than their bound when their
// members are looked at. A shape is compiled once, into closures that know all of it.
import { BridgeError } from '../kernel/errors.js';
import { Secret } from '../kernel/secret.js';
import {
  blobConstraint,
  enumConstraint,
  fails,
  isNull,
  lowerFirst,
  textConstraint,
  validationMessage,
  wholeConstraint,
} from './constraints.js';
import type { List, Shape, Structure, TextMap, ValueOf } from './shape.js';

/** One input being read. */
interface Reading {
  readonly violations: string[];
  /** The same JSON with every number as the text that stood in its place; asked once. */
  readonly numbersAsText: () => unknown;
  textual: unknown;
}

type Reader = (value: unknown, at: string, reading: Reading) => unknown;

/**
 * Reads the whole input of an operation. ValidationException lists every violation in one message. `numbersAsText` is asked for when a
 * number stands where a text is meant and is taken as one.
 */
export type InputReader<S> = (json: unknown, numbersAsText?: () => unknown) => ValueOf<S>;

export function inputReader<S extends Structure>(shape: S): InputReader<S> {
  const read = readerOf(shape);
  return (json, numbersAsText = () => json) => {
    // AWS's framework has no words for a body that is nothing, or a bare value.
    if (typeof json !== 'object' || json === null) throw serialization();
    const violations: string[] = [];
    const input = read(json, '', { violations, numbersAsText, textual: undefined });
    if (violations.length > 0) throw new BridgeError('ValidationException', validationMessage(violations));
    return input as ValueOf<S>;
  };
}

const serialization = (message?: string): BridgeError => new BridgeError('SerializationException', message);

/** What AWS's framework says of a value of the wrong JSON type, with its full stop and without; it has no words for null. */
function wrongType(value: unknown, expected: string): BridgeError {
  if (Array.isArray(value)) return serialization('Start of list found where not expected');
  if (typeof value === 'object' && value !== null)
    return serialization('Start of structure or map found where not expected.');
  if (value === null) return serialization();
  if (expected === 'list or null' || expected === 'null') return serialization(`Expected ${expected}`);
  const token = typeof value === 'boolean' ? String(value).toUpperCase() : (typeof value).toUpperCase();
  return serialization(`${token}_VALUE can not be converted to ${expected}`);
}

/** What a Date can hold (ECMAScript, "Time Values and Time Range"). */
const mostMs = 8.64e15;

/** A list is read no further than this: it could make an answer many times the size of its request. */
const mostViolations = 100;

const readers = new WeakMap<Shape, Reader>();

function readerOf(shape: Shape): Reader {
  let reader = readers.get(shape);
  if (reader === undefined) {
    const plain = compile(shape);
    reader = shape.secret === true ? (value, at, reading) => new Secret(plain(value, at, reading)) : plain;
    readers.set(shape, reader);
  }
  return reader;
}

function compile(shape: Shape): Reader {
  switch (shape.kind) {
    case 'text':
    case 'enum': {
      const constrain = shape.kind === 'text' ? textConstraint(shape) : enumConstraint(shape);
      return (value, at, { violations }) => {
        const string = wellFormed(value);
        constrain(string, at, violations);
        return string;
      };
    }
    case 'integer':
    case 'long': {
      const constrain = wholeConstraint(shape);
      const expected = shape.kind === 'integer' ? 'an Integer' : 'a Long';
      return (value, at, { violations }) => {
        if (typeof value !== 'number') throw wrongType(value, expected);
        // AWS cuts a fraction off.
        const whole = Math.trunc(value);
        constrain(whole, at, violations);
        return whole;
      };
    }
    case 'boolean':
      return (value) => {
        if (typeof value !== 'boolean') throw wrongType(value, 'a Boolean');
        return value;
      };
    case 'blob': {
      const constrain = blobConstraint(shape);
      return (value, at, { violations }) => {
        // Strictly: what does not encode back to itself is refused.
        if (typeof value !== 'string') throw wrongType(value, 'a String');
        const bytes = Buffer.from(value, 'base64');
        if (bytes.toString('base64') !== value) throw serialization();
        constrain(bytes, at, violations);
        return bytes;
      };
    }
    case 'timestamp':
      return (value) => {
        // Its words for other bare values were never recorded.
        if (typeof value !== 'number') throw typeof value === 'object' ? wrongType(value, 'null') : serialization();
        const ms = Math.round(value * 1000);
        if (Math.abs(ms) > mostMs) throw serialization();
        return ms;
      };
    case 'list':
      return listReader(shape);
    case 'map':
      return mapReader(shape);
    case 'structure':
      return structureReader(shape);
  }
}

interface Field {
  readonly name: string;
  readonly path: string;
  readonly shape: Shape;
  readonly read: Reader;
}

function structureReader(shape: Structure): Reader {
  const fields = Object.entries(shape.members).map(([name, member]): Field => ({
    name,
    path: lowerFirst(name),
    shape: member,
    read: readerOf(member),
  }));
  return (value, at, reading) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(value, 'null');
    const source = value as Record<string, unknown>;
    const result: Record<string, unknown> = {};
    for (const field of fields) {
      const { name, path } = field;
      const member = Object.hasOwn(source, name) ? source[name] : undefined;
      const where = at === '' ? path : `${at}.${path}`;
      result[name] =
        member === undefined || member === null
          ? absent(field.shape, where, reading)
          : field.read(member, where, reading);
    }
    return result;
  };
}

function absent(shape: Shape, at: string, { violations }: Reading): unknown {
  if (shape.required === true) violations.push(isNull(at));
  return shape.default;
}

function listReader({ item, max }: List): Reader {
  const read = readerOf(item);
  return (value, at, reading) => {
    const { violations } = reading;
    if (!Array.isArray(value)) throw wrongType(value, 'list or null');
    if (value.length > max) {
      violations.push(fails(undefined, at, `have length less than or equal to ${max}`));
      return [];
    }
    const items: unknown[] = [];
    for (const [i, member] of (value as unknown[]).entries()) {
      if (violations.length >= mostViolations) break;
      if (member === null) throw serialization();
      items.push(read(member, `${at}.${i + 1}.member`, reading));
    }
    return items;
  };
}

/** What a pair of a map counts for beside its bytes: a length of two bytes for each half, as the AWS Encryption SDK writes them. */
const pairBytes = 4;

/**
 * At most `maxBytes` of UTF-8 in all. Numbers, true and false are taken as the text they were written in (AWS KMS Developer Guide,
 * "Encryption context"). The map that is given is the one that is returned.
 */
function mapReader({ maxBytes }: TextMap): Reader {
  return (value, at, reading) => {
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
  };
}

const upperFirst = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

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
  if (!value.isWellFormed()) throw serialization();
  return value;
}
