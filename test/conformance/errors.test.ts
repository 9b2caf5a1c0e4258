// Bad input in requests that are signed as they should be: AWS's error, one audit record, and a daemon that goes on as if nothing had been.
import { describe, expect, it } from 'vitest';
import { WireUser } from '../support/wire-user.js';

const user = WireUser.ofSuite();

describe('what a signed request holds', () => {
  const serialization: readonly (readonly [string, string, unknown])[] = [
    ['malformed JSON', 'Encrypt', '{"KeyId":'],
    ['JSON with something after it', 'ListKeys', '{}{}'],
    ['a body of nothing but spaces', 'ListKeys', '   '],
    ['a list instead of a structure', 'ListKeys', []],
    ['null instead of a structure', 'ListKeys', null],
    ['a number instead of a structure', 'ListKeys', 5],
    ['a number where a string belongs', 'DescribeKey', { KeyId: 5 }],
    ['a structure where a string belongs', 'DescribeKey', { KeyId: {} }],
    ['a string where a number belongs', 'ListKeys', { Limit: '5' }],
    ['a string where a boolean belongs', 'CreateKey', { MultiRegion: 'false' }],
    ['a list where a map belongs', 'Encrypt', { KeyId: 'x', Plaintext: 'eA==', EncryptionContext: [] }],
    ['a structure in a map of strings', 'Encrypt', { KeyId: 'x', Plaintext: 'eA==', EncryptionContext: { a: {} } }],
    ['null in a map of strings', 'Encrypt', { KeyId: 'x', Plaintext: 'eA==', EncryptionContext: { a: null } }],
    ['null in a list', 'CreateKey', { Tags: [null] }],
    ['bytes that are not base64', 'Encrypt', { KeyId: 'x', Plaintext: '!!!' }],
    ['base64 without its padding', 'Encrypt', { KeyId: 'x', Plaintext: 'YQ' }],
    ['base64 with bits that mean nothing', 'Encrypt', { KeyId: 'x', Plaintext: 'YR==' }],
    ['base64 of the URL alphabet', 'Encrypt', { KeyId: 'x', Plaintext: '-_-_' }],
    ['base64 with a line break', 'Encrypt', { KeyId: 'x', Plaintext: 'YWJj\nZGVm' }],
    ['invalid UTF-8', 'CreateKey', Buffer.from([...Buffer.from('{"Description":"'), 0xff, 0xfe, ...Buffer.from('"}')])],
    ['an overlong UTF-8 form', 'CreateKey', Buffer.from('{"Description":"\xc0\xaf"}', 'latin1')],
    ['a surrogate in UTF-8', 'CreateKey', Buffer.from('{"Description":"\xed\xa0\x80"}', 'latin1')],
    ['a lone high surrogate', 'CreateKey', '{"Description":"\\ud800"}'],
    ['a lone low surrogate', 'CreateKey', '{"Description":"a\\udc00b"}'],
    [
      'a lone surrogate in the encryption context',
      'Encrypt',
      `{"KeyId":"x","Plaintext":"eA==","EncryptionContext":{"\\ud800":"x"}}`,
    ],
    ['a byte order mark', 'ListKeys', Buffer.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d])],
    ['brackets without end', 'Encrypt', '['.repeat(500_000)],
  ];
  it.each(serialization)('%s is a SerializationException', async (_what, operation, input) => {
    const event = user.expectError(await user.send(user.call(operation, input)), {
      code: 'SerializationException',
    });
    expect(event.eventName).toBe(operation);
    expect(event.userIdentity).toMatchObject({ type: 'Root', accountId: '000000000000' });
  });

  it('ignores members it does not know', async () => {
    const input = { Limit: 10, Unknown: { deep: [1] }, __proto__: null, constructor: 'x', limit: 'not a number' };
    const answer = await user.send(user.call('ListKeys', input));
    expect(answer.status, answer.text).toBe(200);
    const inherited = await user.send(user.call('DescribeKey', `{"__proto__":{"KeyId":"${user.keyId}"}}`));
    user.expectError(inherited, { code: 'ValidationException', message: /Value null at 'keyId' failed/ });
  });

  it('binds an encryption context whose names JavaScript holds dear', async () => {
    const context = '{"__proto__":"a","constructor":"b","toString":"c"}';
    const body = `{"KeyId":"${user.keyId}","Plaintext":"eA==","EncryptionContext":${context}}`;
    const { CiphertextBlob } = JSON.parse((await user.send(user.call('Encrypt', body))).text) as {
      CiphertextBlob: string;
    };
    const opened = await user.send(
      user.call('Decrypt', `{"CiphertextBlob":"${CiphertextBlob}","EncryptionContext":${context}}`),
    );
    expect(opened.status, opened.text).toBe(200);
    const bare = `{"CiphertextBlob":"${CiphertextBlob}","EncryptionContext":{"constructor":"b","toString":"c"}}`;
    user.expectError(await user.send(user.call('Decrypt', bare)), {
      code: 'InvalidCiphertextException',
    });
  });

  const targets: readonly (readonly [string, string | undefined])[] = [
    ['no target', undefined],
    ['an operation that is none', 'TrentService.Frobnicate'],
    ['the name of an object’s own method', 'TrentService.constructor'],
    ['another service’s prefix', 'DynamoDB_20120810.ListTables'],
    ['no prefix', 'ListKeys'],
    ['the wrong case', 'TrentService.listKeys'],
    ['a long target', `TrentService.${'A'.repeat(5000)}`],
    ['a target of odd characters', 'TrentService.List/../Keys"\\'],
  ];
  it.each(targets)('%s is an UnknownOperationException', async (_what, target) => {
    user.expectError(await user.send(user.sign({ target })), { code: 'UnknownOperationException' });
  });

  it.each(['sts', 'iam', 'cloudtrail'])('%s is not served yet: UnknownOperationException', async (service) => {
    const body = 'Action=GetCallerIdentity&Version=2011-06-15';
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const answer = await user.send(user.sign({ service, target: undefined, body, headers }));
    user.expectError(answer, { code: 'UnknownOperationException' });
    const disguised = await user.send(user.sign({ service, target: 'TrentService.ListKeys' }));
    user.expectError(disguised, { code: 'UnknownOperationException' });
  });
});
