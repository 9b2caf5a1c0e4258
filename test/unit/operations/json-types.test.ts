// JSON of the wrong type: AWS's words for each, as they were recorded from it, and what is taken though it is of another type.
import { describe, expect, it } from 'vitest';
import { operations } from '../../../src/operations/index.js';
import { inputReader } from '../../../src/shapes/read.js';
import { answer } from './answer.js';

const encrypt = (input: object): string => answer('Encrypt', { KeyId: 'x', Plaintext: 'YQ==', ...input });

describe('a value of the wrong type', () => {
  it.each([
    ['Limit', '1', 'STRING_VALUE can not be converted to an Integer'],
    ['Limit', true, 'TRUE_VALUE can not be converted to an Integer'],
    ['Limit', false, 'FALSE_VALUE can not be converted to an Integer'],
    ['Limit', [1], 'Start of list found where not expected'],
    ['Limit', { a: 1 }, 'Start of structure or map found where not expected.'],
    ['Marker', 1, 'NUMBER_VALUE can not be converted to a String'],
    ['Marker', true, 'TRUE_VALUE can not be converted to a String'],
    ['Marker', ['x'], 'Start of list found where not expected'],
    ['Marker', {}, 'Start of structure or map found where not expected.'],
  ])('%s: %j', (member, value, message) => {
    expect(answer('ListKeys', { [member]: value })).toBe(`SerializationException: ${message}`);
  });

  it.each([
    [{ DryRun: 1 }, 'NUMBER_VALUE can not be converted to a Boolean'],
    [{ GrantTokens: 'x' }, 'Expected list or null'],
    [{ GrantTokens: {} }, 'Start of structure or map found where not expected.'],
    [{ GrantTokens: [1] }, 'NUMBER_VALUE can not be converted to a String'],
    [{ EncryptionContext: 'x' }, 'Expected null'],
    [{ EncryptionContext: [] }, 'Start of list found where not expected'],
    [{ EncryptionContext: { a: [] } }, 'Start of list found where not expected'],
    [{ EncryptionContext: { a: {} } }, 'Start of structure or map found where not expected.'],
    [{ EncryptionContext: { a: null } }, '-'],
    [{ Plaintext: 1 }, 'NUMBER_VALUE can not be converted to a String'],
  ])('%j', (input, message) => {
    expect(encrypt(input)).toBe(`SerializationException: ${message}`);
  });

  it('has no words where it is the whole body, but for a list', () => {
    for (const json of [null, 'x', 1, true]) expect(answer('ListKeys', json)).toBe('SerializationException: -');
    expect(answer('ListKeys', [])).toBe('SerializationException: Start of list found where not expected');
  });

  it('comes before what is merely out of bounds', () => {
    expect(answer('ListKeys', { Limit: '1', Marker: '' })).toMatch(/^SerializationException/);
  });
});

describe('what is taken all the same', () => {
  it('cuts the fraction off a whole number', () => {
    expect(inputReader(operations.kms.get('ListKeys')!.input)({ Limit: 1.5 })).toMatchObject({ Limit: 1 });
    expect(answer('ListKeys', { Limit: 0.5 })).toMatch(/^ValidationException: .*Value '0' at 'limit'/);
  });

  it('prints numbers and booleans of an encryption context', () => {
    const EncryptionContext = { a: 1, b: true, c: false, d: 'x' };
    const input = { KeyId: 'x', Plaintext: 'YQ==', EncryptionContext };
    expect(inputReader(operations.kms.get('Encrypt')!.input)(input)).toMatchObject({
      EncryptionContext: { a: '1', b: 'true', c: 'false', d: 'x' },
    });
  });
});
