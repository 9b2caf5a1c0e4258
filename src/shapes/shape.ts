// Shapes of what is said over an API, as data. Reading, writing, records and schemas are all made from one description (`read.ts`,
// `write.ts`, `record.ts`, `schema.ts`), so that no two of them can disagree. A member that is marked secret is a `Secret` in TypeScript.
import type { Secret } from '../kernel/secret.js';

/** What a member may be beside its kind. Neither required nor defaulted: optional. */
interface Marks {
  readonly required?: true;
  /** Stands in for a member that is not sent. */
  readonly default?: unknown;
  /** Key material, plaintext, a password: wrapped as it is read, written to its caller alone. */
  readonly secret?: true;
}

export interface Text extends Marks {
  readonly kind: 'text';
  /** In UTF-16 units, as AWS counts. */
  readonly min: number;
  readonly max: number;
  /** As AWS prints it; matched against the whole text. */
  readonly pattern?: string | undefined;
}

export interface OneOf<V extends string = string> extends Marks {
  readonly kind: 'enum';
  readonly values: readonly V[];
}

/** Bytes: base64 on the wire. */
export interface Blob extends Marks {
  readonly kind: 'blob';
  readonly min: number;
  readonly max: number;
}

/** Milliseconds since 1970: seconds with a fraction on the wire. */
export interface Timestamp extends Marks {
  readonly kind: 'timestamp';
}

export interface Whole extends Marks {
  readonly kind: 'integer' | 'long';
  readonly min: number;
  readonly max: number;
}

export interface Flag extends Marks {
  readonly kind: 'boolean';
}

export interface List<I extends Shape = Shape> extends Marks {
  readonly kind: 'list';
  readonly item: I;
  /** AWS's where it has one. */
  readonly max: number;
}

/** Texts by names that are the caller's own, as an encryption context is. */
export interface TextMap extends Marks {
  readonly kind: 'map';
  /** Of UTF-8 in all. */
  readonly maxBytes: number;
}

export type Members = Readonly<Record<string, Shape>>;

export interface Structure<M extends Members = Members> extends Marks {
  readonly kind: 'structure';
  readonly members: M;
}

export type Shape = Text | OneOf | Blob | Timestamp | Whole | Flag | List | TextMap | Structure;

type Plain<S> = S extends { kind: 'text' }
  ? string
  : S extends { kind: 'enum'; values: readonly (infer V)[] }
    ? V
    : S extends { kind: 'blob' }
      ? Buffer
      : S extends { kind: 'timestamp' | 'integer' | 'long' }
        ? number
        : S extends { kind: 'boolean' }
          ? boolean
          : S extends { kind: 'list'; item: infer I }
            ? readonly ValueOf<I>[]
            : S extends { kind: 'map' }
              ? Readonly<Record<string, string>>
              : S extends { kind: 'structure'; members: infer M }
                ? StructureValue<M>
                : never;

/** What a shape is in TypeScript. */
export type ValueOf<S> = S extends { secret: true } ? Secret<Plain<S>> : Plain<S>;

type Present<M> = { [K in keyof M]: M[K] extends { required: true } | { default: unknown } ? K : never }[keyof M];
type StructureValue<M> = { readonly [K in Present<M>]: ValueOf<M[K]> } & {
  readonly [K in Exclude<keyof M, Present<M>>]?: ValueOf<M[K]> | undefined;
};

type IsSecret<S> = S extends { secret: true } ? true : S extends { kind: 'list'; item: infer I } ? IsSecret<I> : false;

/** The names of the members that a record may show: a secret one is not among them. */
export type RecordedMember<M> = { [K in keyof M]: IsSecret<M[K]> extends true ? never : K }[keyof M] & string;

/** Whether nothing of it may be shown. What is secret within a structure is left out of it. */
export const isSecret = (shape: Shape): boolean =>
  shape.secret === true || (shape.kind === 'list' && isSecret(shape.item));

export function text(rule: { min: number; max: number; pattern?: string }): Text {
  return { kind: 'text', min: rule.min, max: rule.max, pattern: rule.pattern };
}
export function oneOf<const V extends string>(values: readonly V[]): OneOf<V> {
  return { kind: 'enum', values };
}
export const blob = (min: number, max: number): Blob => ({ kind: 'blob', min, max });
export const timestamp: Timestamp = { kind: 'timestamp' };
export const integer = (min: number, max: number): Whole => ({ kind: 'integer', min, max });
export const long = (min: number, max: number): Whole => ({ kind: 'long', min, max });
export const boolean: Flag = { kind: 'boolean' };
export const list = <const I extends Shape>(item: I, max: number): List<I> => ({ kind: 'list', item, max });
/** Of a list in an answer; what is read has a bound. */
export const anyNumber = Infinity;
export const textMap = (maxBytes: number): TextMap => ({ kind: 'map', maxBytes });
export const structure = <const M extends Members>(members: M): Structure<M> => ({ kind: 'structure', members });

export const required = <S extends Shape>(shape: S): S & { readonly required: true } => ({ ...shape, required: true });
export const withDefault = <S extends Shape>(
  shape: S,
  fallback: NoInfer<ValueOf<S>>,
): S & { readonly default: unknown } => ({ ...shape, default: fallback });
export const secret = <S extends Shape>(shape: S): S & { readonly secret: true } => ({ ...shape, secret: true });
