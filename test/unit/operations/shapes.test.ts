// Input shapes: AWS's words for broken constraints, and no exception that is not an answer, whatever the JSON.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { operations } from '../../../src/operations/index.js';
import { answer } from './answer.js';

describe('shapes', () => {
  it('lists every violation in one message, as AWS does', () => {
    expect(answer('Encrypt', { Plaintext: '' })).toBe(
      "ValidationException: 2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; " +
        "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1",
    );
    expect(answer('ListKeys', { Limit: 1001 })).toBe(
      "ValidationException: 1 validation error detected: Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000",
    );
    expect(answer('CreateAlias', { AliasName: 'alias/a b', TargetKeyId: 'x' })).toContain(
      "Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ",
    );
  });

  it('calls wrong types and bad base64 serialization errors', () => {
    for (const json of [
      null,
      [],
      'x',
      1,
      { KeyId: 1 },
      { KeyId: 'x', Plaintext: 'a' },
      { KeyId: 'x', Plaintext: 'YQ' },
      { KeyId: 'x', Plaintext: 'YR==' },
    ]) {
      expect([json, answer('Encrypt', json)]).toEqual([json, expect.stringMatching(/^SerializationException/)]);
    }
    expect(answer('Encrypt', { KeyId: 'x', Plaintext: 'YQ==', EncryptionContext: { a: '\ud800' } })).toMatch(
      /^SerializationException/,
    );
  });

  it('ignores unknown members and takes null for absent', () => {
    expect(answer('Encrypt', { KeyId: 'x', Plaintext: 'YQ==', Unknown: { deep: [] }, GrantTokens: null })).toBe('read');
  });

  it('answers any JSON for every operation', () => {
    const names = [...operations.kms.keys()];
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.jsonValue({ maxDepth: 4 }), (name, json) => {
        expect(answer(name, json)).toMatch(/^(read$|ValidationException|SerializationException)/);
      }),
      { numRuns: 2000 },
    );
  });
});
