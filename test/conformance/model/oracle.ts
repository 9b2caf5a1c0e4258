// What AWS's framework says to an input, worked out from the model alone: nothing, one SerializationException, or every violation of a
// constraint; and what of an answer the model does not know. The words are those that were recorded from AWS.
import { matches } from './patterns.js';
import { type Reference, type Scalar, shapeOf, type Structure } from './service-model.js';

export type Verdict =
  | { readonly kind: 'taken' }
  | { readonly kind: 'serialization'; readonly message: string | undefined }
  /** In no order. */
  | { readonly kind: 'violations'; readonly texts: readonly string[] };

class WrongType extends Error {
  readonly words: string | undefined;

  constructor(words?: string) {
    super(words);
    this.words = words;
  }
}

export function judge(input: Reference, json: unknown): Verdict {
  const texts: string[] = [];
  try {
    // It has no words for a body that is nothing, or a bare value.
    if (typeof json !== 'object' || json === null) throw new WrongType();
    look(input, json, '', texts);
  } catch (error) {
    if (!(error instanceof WrongType)) throw error;
    return { kind: 'serialization', message: error.words };
  }
  return texts.length === 0 ? { kind: 'taken' } : { kind: 'violations', texts };
}

const camel = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1);
const must = (value: string, at: string, what: string): string =>
  `Value ${value}at '${at}' failed to satisfy constraint: Member must ${what}`;

function look(reference: Reference, value: unknown, at: string, texts: string[]): void {
  const shape = shapeOf(reference);
  switch (shape.type) {
    case 'structure':
      lookIntoStructure(shape, value, at, texts);
      break;
    case 'list':
      if (!Array.isArray(value)) throw wrongType(value, 'Expected list or null');
      // Their values are left out here, as a blob's are: they may be as long as the whole request.
      texts.push(...lengths(value.length, shape, '', at));
      if (value.length > (shape.max ?? Infinity)) break;
      for (const [n, member] of value.entries()) {
        if (member === null) throw new WrongType();
        look(shape.member, member, `${at}.${n + 1}.member`, texts);
      }
      break;
    case 'map':
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(value, 'Expected null');
      for (const member of Object.values(value)) {
        // AWS KMS Developer Guide, "Encryption context": what is no string is taken as one.
        if (typeof member !== 'number' && typeof member !== 'boolean') requireText(member);
      }
      texts.push(...lengths(Object.keys(value).length, shape, '', at));
      break;
    default:
      lookAtScalar(shape, value, at, texts);
  }
}

function lookIntoStructure(shape: Structure, value: unknown, at: string, texts: string[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(value, 'Expected null');
  const members = value as Readonly<Record<string, unknown>>;
  for (const [name, reference] of Object.entries(shape.members)) {
    const path = at === '' ? camel(name) : `${at}.${camel(name)}`;
    const member = members[name] ?? undefined;
    if (member !== undefined) look(reference, member, path, texts);
    else if (shape.required?.includes(name) === true) texts.push(must('null ', path, 'not be null'));
  }
}

function lookAtScalar(shape: Scalar, value: unknown, at: string, texts: string[]): void {
  switch (shape.type) {
    case 'string': {
      const text = requireText(value);
      if (shape.enum !== undefined) {
        if (!shape.enum.includes(text))
          texts.push(must(`'${text}' `, at, `satisfy enum value set: [${shape.enum.join(', ')}]`));
        break;
      }
      texts.push(...lengths(text.length, shape, `'${text}' `, at));
      if (shape.pattern !== undefined && !matches(shape.pattern, text))
        texts.push(must(`'${text}' `, at, `satisfy regular expression pattern: ${shape.pattern}`));
      break;
    }
    case 'blob': {
      const encoded = requireText(value);
      const bytes = Buffer.from(encoded, 'base64');
      if (bytes.toString('base64') !== encoded) throw new WrongType();
      texts.push(...lengths(bytes.length, shape, '', at));
      break;
    }
    case 'boolean':
      if (typeof value !== 'boolean') throw wrongType(value, `${token(value)} can not be converted to a Boolean`);
      break;
    case 'timestamp':
      if (typeof value !== 'number') throw wrongType(value, `${token(value)} can not be converted to a Timestamp`);
      break;
    default: {
      if (typeof value !== 'number') throw wrongType(value, `${token(value)} can not be converted to an Integer`);
      // A fraction is cut off.
      const whole = Math.trunc(value);
      if (whole > (shape.max ?? Infinity))
        texts.push(must(`'${whole}' `, at, `have value less than or equal to ${shape.max ?? ''}`));
      if (whole < (shape.min ?? -Infinity))
        texts.push(must(`'${whole}' `, at, `have value greater than or equal to ${shape.min ?? ''}`));
    }
  }
}

function lengths(length: number, { min = 0, max = Infinity }: Bounds, value: string, at: string): string[] {
  if (length > max) return [must(value, at, `have length less than or equal to ${max}`)];
  return length < min ? [must(value, at, `have length greater than or equal to ${min}`)] : [];
}

type Bounds = Pick<Scalar, 'min' | 'max'>;

function requireText(value: unknown): string {
  if (typeof value !== 'string') throw wrongType(value, `${token(value)} can not be converted to a String`);
  return value;
}

/** What opens a list or an object has the same words everywhere; null has none. */
function wrongType(value: unknown, words: string): WrongType {
  if (Array.isArray(value)) return new WrongType('Start of list found where not expected');
  if (value === null) return new WrongType();
  if (typeof value === 'object') return new WrongType('Start of structure or map found where not expected.');
  return new WrongType(words);
}

const token = (value: unknown): string =>
  `${typeof value === 'boolean' ? String(value).toUpperCase() : (typeof value).toUpperCase()}_VALUE`;

/** What of an answer's value the model does not know, as lines that name it. */
export function strange(reference: Reference, value: unknown, at: string): readonly string[] {
  const shape = shapeOf(reference);
  const unlike = (what: string): string[] => [`${at} is ${what}: ${JSON.stringify(value)}`];
  switch (shape.type) {
    case 'structure': {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return unlike('no structure');
      const missing = (shape.required ?? []).filter((name) => !Object.hasOwn(value, name));
      return [
        ...missing.map((name) => `${at}.${name} is missing`),
        ...Object.entries(value).flatMap(([name, member]) => {
          const known = shape.members[name];
          return known === undefined ? [`${at}.${name} is no member`] : strange(known, member, `${at}.${name}`);
        }),
      ];
    }
    case 'list':
      if (!Array.isArray(value)) return unlike('no list');
      return value.flatMap((member, n) => strange(shape.member, member, `${at}[${n}]`));
    case 'map':
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return unlike('no map');
      return Object.entries(value).flatMap(([name, member]) => strange(shape.value, member, `${at}.${name}`));
    case 'timestamp':
      return typeof value === 'number' && value > 0 ? [] : unlike('no timestamp');
    default: {
      // As an input it would break the type or the bounds.
      const texts: string[] = [];
      try {
        lookAtScalar(shape, value, at, texts);
      } catch (error) {
        if (!(error instanceof WrongType)) throw error;
        return unlike(`no ${shape.type}`);
      }
      return texts;
    }
  }
}
