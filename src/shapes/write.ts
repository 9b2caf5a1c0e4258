// How a typed value becomes JSON text: the members its shape has, in the shape's order, and no others. Bytes and times are written at every
// depth as the codec says. A shape is compiled once for each codec, into closures that put texts together.
import { isSecret, type Shape, type Structure, type ValueOf } from './shape.js';
import type { Secret } from '../kernel/secret.js';

export interface Codec {
  /** A member's name as it is printed. */
  readonly nameOf: (member: string) => string;
  /** A time as JSON. */
  readonly time: (ms: number) => string;
  /** Whether what is secret is written; if not, its member is not there. */
  readonly secrets: boolean;
}

/** AWS's JSON 1.1, for the caller: seconds with a fraction. */
export const json11: Codec = { nameOf: (member) => member, time: (ms) => String(ms / 1000), secrets: true };

export type Writer<T> = (value: T) => string;

/** Of a member with a value. */
type Print = (value: unknown) => string;

export function writer<S extends Structure>(shape: S, codec: Codec): Writer<ValueOf<S>> {
  return printer(shape, codec);
}

/** What a shape may not show has none. */
export function printer(shape: Shape, codec: Codec): Print {
  if (shape.secret !== true) return plainPrinter(shape, codec);
  if (!codec.secrets) throw new Error('a secret is not written here');
  const print = plainPrinter(shape, codec);
  return (value) => print((value as Secret<unknown>).reveal());
}

function plainPrinter(shape: Shape, codec: Codec): Print {
  switch (shape.kind) {
    case 'text':
      return (value) => JSON.stringify(value);
    case 'enum': {
      const quoted = new Map<unknown, string>(shape.values.map((value) => [value, JSON.stringify(value)]));
      return (value) => quoted.get(value) ?? JSON.stringify(value);
    }
    case 'blob':
      return (value) => `"${(value as Buffer).toString('base64')}"`;
    case 'timestamp':
      return (value) => codec.time(value as number);
    case 'integer':
    case 'long':
    case 'boolean':
      return (value) => String(value);
    case 'map':
      return (value) => JSON.stringify(value);
    case 'list': {
      const print = printer(shape.item, codec);
      return (value) => `[${(value as unknown[]).map(print).join(',')}]`;
    }
    case 'structure': {
      const members = Object.entries(shape.members).filter(([, member]) => codec.secrets || !isSecret(member));
      return membersPrinter(members, codec);
    }
  }
}

interface Field {
  readonly name: string;
  readonly first: string;
  readonly further: string;
  readonly print: Print;
  readonly isLeftOut: (value: unknown) => boolean;
}

/** Members without a value are left out, and those of which `isLeftOut` says so. */
export function membersPrinter(
  members: readonly (readonly [name: string, shape: Shape])[],
  codec: Codec,
  leavesOut: (shape: Shape) => (value: unknown) => boolean = () => isAbsent,
): Print {
  const fields = members.map(([name, shape]): Field => {
    const label = `${JSON.stringify(codec.nameOf(name))}:`;
    return {
      name,
      first: `{${label}`,
      further: `,${label}`,
      print: printer(shape, codec),
      isLeftOut: leavesOut(shape),
    };
  });
  return (value) => {
    const source = value as Readonly<Record<string, unknown>>;
    let json = '';
    for (const { name, first, further, print, isLeftOut } of fields) {
      const member = source[name];
      if (isLeftOut(member)) continue;
      json += (json === '' ? first : further) + print(member);
    }
    return json === '' ? '{}' : `${json}}`;
  };
}

export const isAbsent = (value: unknown): boolean => value === undefined;
