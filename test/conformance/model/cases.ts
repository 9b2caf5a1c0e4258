// The cases of an operation, from the model: each member at every depth, with every wrong type, just inside and just outside its bounds,
// with every value of an enum and some that are none, missing, and with text that its pattern lets through and text that it does not.
import { notMatching } from './patterns.js';
import { bytes, sample, textOf } from './samples.js';
import { type Operation, type Reference, type Scalar, type Shape, shapeOf, structureOf } from './service-model.js';
import type { Input } from './world.js';

export interface Case {
  readonly name: string;
  readonly json: unknown;
}

/** Where a value stands in an input, and the whole input with another one there. */
interface Place {
  readonly name: string;
  readonly reference: Reference;
  readonly put: (value: unknown) => unknown;
}

type Values = readonly (readonly [name: string, value: unknown])[];

export function casesOf(operation: Operation, base: Input): readonly Case[] {
  const members = structureOf(operation.input).members;
  const full = Object.fromEntries(Object.entries(members).map(([name, member]) => [name, sample(member)]));
  return [
    ...bodies.map(([name, json]) => ({ name: `the body is ${name}`, json })),
    { name: 'every member at once', json: { ...full, ...base } },
    { name: 'members that there are not', json: { ...base, NoSuchMember: { Deep: [1] }, noSuchMember: 1 } },
    ...outOfBounds(members, base),
    ...mixes(members, base),
    ...placesIn(operation.input, '', (value) => value, base).flatMap(({ name, reference, put }) =>
      valuesOf(shapeOf(reference)).map(([what, value]) => ({ name: `${name}: ${what}`, json: put(value) })),
    ),
  ];
}

/** Several violations in one message, and a wrong type, which comes before them. */
function outOfBounds(members: Readonly<Record<string, Reference>>, base: Input): readonly Case[] {
  const broken = Object.fromEntries(
    Object.entries(members).flatMap(([name, member]) => worstOf(name, shapeOf(member))),
  );
  return [
    { name: 'every bound broken at once', json: { ...base, ...broken } },
    ...Object.keys(members).map((name) => ({
      name: `${name}: a wrong type, and every other bound broken`,
      json: { ...base, ...broken, [name]: shapeOf(members[name]!).type === 'list' ? {} : [] },
    })),
  ];
}

const mixesOfOperation = 40;

/** Several members at once, each with another of its own values: what each adds to the message, whatever stands beside it. */
function mixes(members: Readonly<Record<string, Reference>>, base: Input): readonly Case[] {
  const choices = Object.entries(members).flatMap(([name, member]) => {
    const values = ownValues(shapeOf(member));
    return values.length === 0 ? [] : [[name, values] as const];
  });
  if (choices.length < 2) return [];
  return Array.from({ length: mixesOfOperation }, (_, i) => {
    const taken = choices.flatMap(([name, values], n): Values => {
      const [, value] = values[(i * (n + 1) + n) % values.length] ?? [];
      return (i + n) % 3 === 0 ? [] : [[name, value]];
    });
    return { name: `mix ${i}`, json: { ...base, ...Object.fromEntries(taken) } };
  });
}

function worstOf(name: string, shape: Shape): Values {
  switch (shape.type) {
    case 'string':
      return [[name, shape.enum === undefined ? 'a'.repeat((shape.max ?? 9) + 1) : 'NO_SUCH_VALUE']];
    case 'blob':
      return [[name, '']];
    case 'integer':
    case 'long':
      return [[name, (shape.max ?? 9) + 1]];
    default:
      return [];
  }
}

const bodies: Values = [
  ['an empty object', {}],
  ['an empty list', []],
  ['a list', [{}]],
  ['a string', 'text'],
  ['a number', 1],
  ['true', true],
  ['null', null],
];

/** All below `reference`, to every depth; `filled` is what stands there beside the one value that is put. */
function placesIn(
  reference: Reference,
  name: string,
  put: Place['put'],
  filled: unknown = sample(reference),
): readonly Place[] {
  const shape = shapeOf(reference);
  const below = (place: Place): readonly Place[] => [place, ...placesIn(place.reference, place.name, place.put)];
  switch (shape.type) {
    case 'structure':
      return Object.entries(shape.members).flatMap(([member, inner]) =>
        below({
          name: name === '' ? member : `${name}.${member}`,
          reference: inner,
          put: (value) => put({ ...(filled as Input), [member]: value }),
        }),
      );
    case 'list':
      return below({ name: `${name}[]`, reference: shape.member, put: (value) => put([value]) });
    case 'map':
      return below({ name: `${name}{}`, reference: shape.value, put: (value) => put({ name: value }) });
    default:
      return [];
  }
}

const ofEveryType: Values = [
  ['left out', undefined],
  ['null', null],
  ['a string', 'text'],
  ['a number', 1],
  ['true', true],
  ['false', false],
  ['a list', []],
  ['a list of one', ['text']],
  ['an object', {}],
  ['an object of one', { name: 'text' }],
];

function valuesOf(shape: Shape): Values {
  return [...ofEveryType, ...ownValues(shape)];
}

function ownValues(shape: Shape): Values {
  switch (shape.type) {
    case 'list':
      return sizes(shape).map((n) => [`${n} members`, Array.from({ length: n }, () => sample(shape.member))]);
    case 'map':
      return sizes(shape).map((n) => [
        `${n} members`,
        Object.fromEntries(Array.from({ length: n }, (_, i) => [i, 'v'])),
      ]);
    case 'string':
      return shape.enum === undefined ? texts(shape) : enumValues(shape.enum);
    case 'blob':
      return [
        ...sizes(shape).map((n) => [`${n} bytes`, bytes(n)] as const),
        ...['!', 'YQ', 'YR==', 'YQ==\n', '-_-_'].map((text) => [`no base64, ${JSON.stringify(text)}`, text] as const),
      ];
    case 'integer':
    case 'long':
      return [...sizes(shape), -1, 0, 1.5, -0.5].map((n) => [String(n), n]);
    default:
      return [];
  }
}

function enumValues(values: readonly string[]): Values {
  const none = ['', 'NO_SUCH_VALUE', `${values[0] ?? ''} `, (values[0] ?? '').toLowerCase()];
  return [...values, ...none].map((value) => [`'${value}'`, value]);
}

function texts(shape: Scalar): Values {
  const { pattern } = shape;
  const inside: Values = sizes(shape).map((n) => [`${n} characters`, textOf(pattern, n)]);
  if (pattern === undefined) return inside;
  return [...new Set([shape.min ?? 1, shape.max ?? 20, 20])]
    .filter((n) => n >= Math.max(1, shape.min ?? 1) && n <= (shape.max ?? Infinity))
    .reduce<Values>((values, n) => {
      const odd = notMatching(pattern, n);
      return odd === undefined ? values : [...values, [`${n} characters that do not match`, odd]];
    }, inside);
}

/** Just outside and just inside of both bounds, and some where there is none. */
function sizes({ min, max }: { readonly min?: number; readonly max?: number }): readonly number[] {
  const around = [...(min === undefined ? [0, 1] : [min - 1, min]), ...(max === undefined ? [2] : [max, max + 1])];
  return [...new Set(around)].filter((n) => n >= 0);
}
