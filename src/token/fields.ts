// How a value lies in a payload, each kind written once for both directions and both ends. A sequence puts a length (u32) before what varies
// in length, but for its last member, which takes what is left.
import { Secret } from '../kernel/secret.js';

export interface Field<T> {
  /** As the format page has it. */
  readonly form: string;
  /** Its length; undefined when that varies. */
  readonly bytes: number | undefined;
  /** Its length in bytes. RangeError for a value that is none. */
  measure(value: T): number;
  /** Writes as many bytes as `measure` says. */
  write(value: T, room: Buffer, at: number): void;
  /** Buffers come as views. Malformed when these bytes are no such value. */
  read(payload: Buffer, start: number, end: number): T;
}

/** The other end sent what this one cannot have asked for: no answer can be given. */
export class Malformed extends Error {
  constructor(what: string) {
    super(`these bytes are no ${what}`);
    this.name = 'Malformed';
  }
}

const lengthBytes = 4;

/** A Buffer of exactly this length. `accepts`: throws RangeError for what must not be sent. */
export function fixed(form: string, bytes: number, accepts?: (value: Buffer) => void): Field<Buffer> {
  return {
    form,
    bytes,
    measure(value) {
      if (value.length !== bytes) throw new RangeError(`${form} has ${bytes} bytes, not ${value.length}`);
      accepts?.(value);
      return bytes;
    },
    write: (value, room, at) => void value.copy(room, at),
    read(payload, start, end) {
      if (end - start !== bytes) throw new Malformed(form);
      return payload.subarray(start, end);
    },
  };
}

/** Any number of bytes. */
export const varying = (form: string): Field<Buffer> => ({
  form,
  bytes: undefined,
  measure: (value) => value.length,
  write: (value, room, at) => void value.copy(room, at),
  read: (payload, start, end) => payload.subarray(start, end),
});

/** Wrapped where it is read, so that neither end prints it. */
export const secret = <T>(field: Field<T>): Field<Secret<T>> => ({
  form: field.form,
  bytes: field.bytes,
  measure: (value) => field.measure(value.reveal()),
  write: (value, room, at) => field.write(value.reveal(), room, at),
  read: (payload, start, end) => new Secret(field.read(payload, start, end)),
});

/** Nothing, or the value. */
export function optional<T>(field: Field<T>): Field<T | undefined> {
  return {
    form: `[${field.form}]`,
    bytes: undefined,
    measure: (value) => (value === undefined ? 0 : field.measure(value)),
    write: (value, room, at) => (value === undefined ? undefined : field.write(value, room, at)),
    read: (payload, start, end) => (start === end ? undefined : field.read(payload, start, end)),
  };
}

/** An integer of this range as a u32. */
export function integer(form: string, least: number, most: number): Field<number> {
  const isOne = (value: number): boolean => Number.isInteger(value) && value >= least && value <= most;
  return {
    form,
    bytes: 4,
    measure(value) {
      if (!isOne(value)) throw new RangeError(`${form} is an integer from ${least} to ${most}`);
      return 4;
    },
    write: (value, room, at) => void room.writeUInt32BE(value, at),
    read(payload, start, end) {
      const value = end - start === 4 ? payload.readUInt32BE(start) : NaN;
      if (!isOne(value)) throw new Malformed(form);
      return value;
    },
  };
}

/** Milliseconds since 1970, as a u64. */
export const time = (form: string): Field<number> => ({
  form,
  bytes: 8,
  measure(value) {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${form} is a time in milliseconds`);
    return 8;
  },
  write: (value, room, at) => void room.writeBigUInt64BE(BigInt(value), at),
  read(payload, start, end) {
    if (end - start !== 8) throw new Malformed(form);
    return Number(payload.readBigUInt64BE(start));
  },
});

export const flag = (form: string): Field<boolean> => ({
  form,
  bytes: 1,
  measure: () => 1,
  write: (value, room, at) => void room.writeUInt8(value ? 1 : 0, at),
  read(payload, start, end) {
    const byte = end - start === 1 ? payload[start] : undefined;
    if (byte !== 0 && byte !== 1) throw new Malformed(form);
    return byte === 1;
  },
});

/** One of some names, in ASCII. */
export function name<const Name extends string>(form: string, names: readonly Name[]): Field<Name> {
  return {
    form,
    bytes: undefined,
    measure: (value) => value.length,
    write: (value, room, at) => void room.write(value, at, 'latin1'),
    read(payload, start, end) {
      const text = payload.toString('latin1', start, end);
      const found = names.find((candidate) => candidate === text);
      if (found === undefined) throw new Malformed(form);
      return found;
    },
  };
}

/** Items of one length, one after the other. */
export function items<T>(form: string, item: Field<T>): Field<readonly T[]> {
  const { bytes = 0 } = item;
  if (bytes === 0) throw new TypeError('an item has a length of its own');
  return {
    form,
    bytes: undefined,
    measure: (values) => values.reduce((sum, value) => sum + item.measure(value), 0),
    write: (values, room, at) => values.forEach((value, i) => item.write(value, room, at + i * bytes)),
    read(payload, start, end) {
      if ((end - start) % bytes !== 0) throw new Malformed(form);
      const values: T[] = [];
      for (let at = start; at < end; at += bytes) values.push(item.read(payload, at, at + bytes));
      return values;
    },
  };
}

/** What both ends know the type of: they are of one release. */
export const json = <T extends object>(form: string): Field<T> => ({
  form,
  bytes: undefined,
  measure: (value) => Buffer.byteLength(JSON.stringify(value)),
  write: (value, room, at) => void room.write(JSON.stringify(value), at),
  read(payload, start, end) {
    try {
      return JSON.parse(payload.toString('utf8', start, end)) as T;
    } catch {
      throw new Malformed(form);
    }
  },
});

export const nothing: Field<void> = {
  form: '–',
  bytes: 0,
  measure: () => 0,
  write: () => undefined,
  read(_payload, start, end) {
    if (start !== end) throw new Malformed('empty payload');
  },
};

type Values<Fields extends readonly Field<unknown>[]> = {
  [At in keyof Fields]: Fields[At] extends Field<infer T> ? T : never;
};

/** Several values, in their order. */
export function sequence<const Fields extends readonly Field<unknown>[]>(...fields: Fields): Field<Values<Fields>> {
  const last = fields.length - 1;
  const bytes = fields.reduce<number | undefined>(
    (sum, field) => (sum === undefined || field.bytes === undefined ? undefined : sum + field.bytes),
    0,
  );
  const hasLength = fields.map((field, i) => field.bytes === undefined && i < last);
  const form = fields.map((field, i) => (hasLength[i] === true ? `length ‖ ${field.form}` : field.form)).join(' ‖ ');
  return {
    form: fields.length === 0 ? nothing.form : form,
    bytes,
    measure(values) {
      let sum = 0;
      for (let i = 0; i < fields.length; i++) {
        if (hasLength[i] === true) sum += lengthBytes;
        sum += fields[i]?.measure(values[i]) ?? 0;
      }
      return sum;
    },
    write(values, room, at) {
      for (let i = 0; i < fields.length; i++) {
        const field = fields[i];
        if (field === undefined) return;
        const length = field.bytes ?? (i < last ? field.measure(values[i]) : 0);
        if (hasLength[i] === true) at = room.writeUInt32BE(length, at);
        field.write(values[i], room, at);
        at += length;
      }
    },
    read(payload, start, end) {
      const values: unknown[] = [];
      let at = start;
      for (let i = 0; i < fields.length; i++) {
        const field = fields[i];
        let to = i === last ? end : at + (field?.bytes ?? 0);
        if (hasLength[i] === true) {
          if (end - at < lengthBytes) throw new Malformed(form);
          at += lengthBytes;
          to = at + payload.readUInt32BE(at - lengthBytes);
        }
        if (to > end) throw new Malformed(form);
        values.push(field?.read(payload, at, to));
        at = to;
      }
      if (at !== end) throw new Malformed(form);
      return values as unknown as Values<Fields>;
    },
  };
}

/** A structure: its members in the order of this table. */
export function record<const Members extends Readonly<Record<string, Field<unknown>>>>(
  members: Members,
): Field<{ readonly [Name in keyof Members]: Members[Name] extends Field<infer T> ? T : never }> {
  const names = Object.keys(members);
  const values = sequence(...Object.values(members));
  const valuesOf = (value: object): unknown[] => names.map((each) => (value as Record<string, unknown>)[each]);
  return {
    form: `(${values.form})`,
    bytes: values.bytes,
    measure: (value) => values.measure(valuesOf(value)),
    write: (value, room, at) => values.write(valuesOf(value), room, at),
    read(payload, start, end) {
      const parts = values.read(payload, start, end);
      return Object.fromEntries(names.map((each, i) => [each, parts[i]])) as never;
    },
  };
}

/**
 * Where Buffers of these lengths lie in a payload that is a sequence of them, to be filled in place. `reserve` gives room for the payload.
 */
export function inPlace<const Lengths extends readonly number[]>(
  reserve: (bytes: number) => Buffer,
  ...lengths: Lengths
): { readonly [At in keyof Lengths]: Buffer } {
  const room = reserve(lengths.reduce((sum, length) => sum + lengthBytes + length, 0) - lengthBytes);
  let at = 0;
  const views = lengths.map((length, i) => {
    if (i < lengths.length - 1) at = room.writeUInt32BE(length, at);
    at += length;
    return room.subarray(at - length, at);
  });
  return views as unknown as { readonly [At in keyof Lengths]: Buffer };
}
