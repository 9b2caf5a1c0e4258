// Bounds come before work: of a list or a map that is too large no more is looked at than its bound allows, whoever's key it names.
import { describe, expect, it } from 'vitest';
import { parseJson } from '../../../src/facades/aws-json/json.js';
import { answer } from './answer.js';

const encrypt = (EncryptionContext: object): string =>
  answer('Encrypt', { KeyId: 'x', Plaintext: 'YQ==', EncryptionContext });
const tooLarge = /Value at 'encryptionContext' failed to satisfy constraint: Member must have a size .* 8192 bytes$/;

describe('an encryption context', () => {
  it('has 8 KB in all: UTF-8 and two lengths for each pair', () => {
    expect(encrypt({ a: 'x'.repeat(8187) })).toBe('read');
    expect(encrypt({ a: 'x'.repeat(8188) })).toMatch(tooLarge);
    expect(encrypt({ a: '열'.repeat(2729) })).toBe('read');
    expect(encrypt({ a: '열'.repeat(2730) })).toMatch(tooLarge);
    const pairs = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`${1000 + i}`, '']));
    expect(encrypt(pairs(1024))).toBe('read');
    expect(encrypt(pairs(1025))).toMatch(tooLarge);
    expect(answer('ReEncrypt', { DestinationKeyId: 'x', DestinationEncryptionContext: pairs(1025) })).toMatch(
      /'destinationEncryptionContext'/,
    );
  });

  it('is read no further than its bound', () => {
    let looks = 0;
    const wide = new Proxy(Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`n${i}`, 'v'])), {
      get: (target, name) => {
        looks += 1;
        return Reflect.get(target, name) as unknown;
      },
    });
    expect(encrypt(wide)).toMatch(tooLarge);
    expect(looks).toBeLessThan(8192 / 5);
  });
});

describe('every list', () => {
  it.each([
    ['CreateKey', 'Tags', 1000],
    ['TagResource', 'Tags', 1000],
    ['UntagResource', 'TagKeys', 1000],
    ['Encrypt', 'GrantTokens', 10],
    ['Decrypt', 'DryRunModifiers', 10],
  ])('of %s is refused before its members are looked at: %s', (operation, member, most) => {
    let looks = 0;
    const long = new Proxy(
      Array.from({ length: most + 1 }, () => 1),
      {
        get: (target, name) => {
          if (name !== 'length') looks += 1;
          return Reflect.get(target, name) as unknown;
        },
      },
    );
    expect(answer(operation, { [member]: long })).toContain(
      `at '${member.charAt(0).toLowerCase()}${member.slice(1)}' failed to satisfy constraint: Member must have length less than or equal to ${most}`,
    );
    expect(looks).toBe(0);
  });
});

describe('a body', () => {
  const parse = (text: string): string => {
    try {
      parseJson(Buffer.from(text));
      return 'parsed';
    } catch (error) {
      return String(error);
    }
  };
  const tooMany = 'BridgeError: The request has more than 8192 JSON values.';

  it('is parsed only when it holds few values, whatever they are', () => {
    const many = 100_000;
    for (const text of [
      `{"A":{${Array.from({ length: many }, (_, i) => `"${i}":0`).join()}}}`,
      `[${'[],'.repeat(many)}[]]`,
      `[${'{},'.repeat(many)}{}]`,
      `[${'0,'.repeat(many)}0]`,
      `{"A":"${'\\'.repeat(many)}",${'"a":"b",'.repeat(many)}"c":0}`,
    ]) {
      expect([text.slice(0, 20), parse(text)]).toEqual([text.slice(0, 20), tooMany]);
    }
  });

  it('is broken when it is nested too deep, with its end or without', () => {
    for (const text of ['['.repeat(100_000), '['.repeat(5000) + ']'.repeat(5000), '{"a":'.repeat(2000)]) {
      expect(parse(text)).toBe('BridgeError: SerializationException');
    }
  });

  it('may have any text inside its strings', () => {
    expect(parse(JSON.stringify({ Policy: '"[{,:\\'.repeat(100_000) }))).toBe('parsed');
    expect(parse(JSON.stringify(Array.from({ length: 8000 }, () => 0)))).toBe('parsed');
  });
});
