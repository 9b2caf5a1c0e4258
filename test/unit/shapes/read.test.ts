// What readers say beyond what operations use today: whole numbers of both sizes, times, secrets that break a constraint.
import { describe, expect, it } from 'vitest';
import { BridgeError } from '../../../src/kernel/errors.js';
import { Secret } from '../../../src/kernel/secret.js';
import { inputReader } from '../../../src/shapes/read.js';
import { blob, long, required, secret, structure, text, timestamp, type Shape } from '../../../src/shapes/shape.js';

function answer(shape: Shape, json: unknown): string {
  try {
    return JSON.stringify(inputReader(structure({ Member: shape }))({ Member: json }));
  } catch (error) {
    if (error instanceof BridgeError) return `${error.code}: ${error.publicMessage ?? '-'}`;
    throw error;
  }
}

describe('a time', () => {
  it('is read from seconds with a fraction, to the millisecond', () => {
    // AWS's own example, 1.55E9 (AWS KMS API Reference), and the day this API was published.
    expect(answer(timestamp, 1.55e9)).toBe('{"Member":1550000000000}');
    expect(answer(timestamp, Date.UTC(2014, 10, 1) / 1000 + 0.123)).toBe(`{"Member":${Date.UTC(2014, 10, 1) + 123}}`);
  });

  it.each([['1'], [true], [[1]], [{}], [1e300]])('is not %j', (json) => {
    expect(answer(timestamp, json)).toMatch(/^SerializationException: /);
  });
});

it('a long says that it is one', () => {
  expect(answer(long(1, 2 ** 40), 2 ** 40)).toBe(`{"Member":${2 ** 40}}`);
  expect(answer(long(1, 2), 'x')).toBe('SerializationException: STRING_VALUE can not be converted to a Long');
});

describe('a secret', () => {
  const password = secret(text({ min: 7, max: 32, pattern: '[a-z]+' }));
  const fails = (must: string): string =>
    `ValidationException: 1 validation error detected: Value at 'member' failed to satisfy constraint: Member must ${must}`;

  it('is wrapped as it is read', () => {
    const read = inputReader(structure({ Password: required(password), Bytes: secret(blob(1, 8)) }));
    const input = read({ Password: 'kaWpfoTQ'.toLowerCase(), Bytes: 'eA==' });
    expect(input.Password).toBeInstanceOf(Secret);
    expect(input.Password.reveal()).toBe('kawpfotq');
    expect(input.Bytes?.reveal()).toEqual(Buffer.from('x'));
    expect(read({ Password: 'kawpfotq' }).Bytes).toBeUndefined();
  });

  it('is in no message about it', () => {
    expect(answer(password, 'hunter')).toBe(fails('have length greater than or equal to 7'));
    expect(answer(password, 'Hunter22')).toBe(fails('satisfy regular expression pattern: [a-z]+'));
    expect(answer(secret(blob(1, 2)), 'aHVudGVy')).toBe(fails('have length less than or equal to 2'));
  });
});
