// Constraints of shapes, and AWS's words for what breaks them. `at` is the member's path as AWS prints it: lower camel case, list members
// counted from one. A secret's value is in no message.
import type { Blob, OneOf, Shape, Text, Whole } from './shape.js';

/** Adds what is broken to `violations`. */
export type Constraint<T> = (value: T, at: string, violations: string[]) => void;

/** Member names in messages and records. */
export const lowerFirst = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1);

export const fails = (value: string | undefined, at: string, must: string): string =>
  `Value ${value === undefined ? '' : `'${value}' `}at '${at}' failed to satisfy constraint: Member must ${must}`;

export const isNull = (at: string): string =>
  `Value null at '${at}' failed to satisfy constraint: Member must not be null`;

/** `1 validation error detected: …`, all of them in one message. */
export function validationMessage(violations: readonly string[]): string {
  const count = violations.length === 1 ? '1 validation error' : `${violations.length} validation errors`;
  return `${count} detected: ${violations.join('; ')}`;
}

const shown = (shape: Shape, value: string): string | undefined => (shape.secret === true ? undefined : value);

export function textConstraint(shape: Text): Constraint<string> {
  const { min, max, pattern } = shape;
  const whole = pattern === undefined ? undefined : new RegExp(`^(?:${pattern})$`, 'u');
  return (value, at, violations) => {
    if (value.length > max) violations.push(fails(shown(shape, value), at, `have length less than or equal to ${max}`));
    if (value.length < min)
      violations.push(fails(shown(shape, value), at, `have length greater than or equal to ${min}`));
    if (whole?.test(value) === false)
      violations.push(fails(shown(shape, value), at, `satisfy regular expression pattern: ${pattern ?? ''}`));
  };
}

export function enumConstraint(shape: OneOf): Constraint<string> {
  const known: ReadonlySet<string> = new Set(shape.values);
  return (value, at, violations) => {
    if (known.has(value)) return;
    violations.push(fails(shown(shape, value), at, `satisfy enum value set: [${shape.values.join(', ')}]`));
  };
}

export function wholeConstraint(shape: Whole): Constraint<number> {
  const { min, max } = shape;
  return (value, at, violations) => {
    if (value > max) violations.push(fails(shown(shape, String(value)), at, `have value less than or equal to ${max}`));
    if (value < min)
      violations.push(fails(shown(shape, String(value)), at, `have value greater than or equal to ${min}`));
  };
}

/** The value is left out of messages. */
export function blobConstraint({ min, max }: Blob): Constraint<Buffer> {
  return (value, at, violations) => {
    if (value.length > max) violations.push(fails(undefined, at, `have length less than or equal to ${max}`));
    if (value.length < min) violations.push(fails(undefined, at, `have length greater than or equal to ${min}`));
  };
}
