// Requests that are not signed as they should be: AWS's error, nobody named in the audit, nothing served.
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { changingHeader, type RawRequest, withHeader } from '../support/raw-http.js';
import { type ExpectedError, WireUser } from '../support/wire-user.js';

const user = WireUser.ofSuite();

describe('a request that is not signed as it should be', () => {
  // The first twenty of a second are recorded one by one: the table stays below that.
  beforeEach(() => sleep(70));

  const invalid = 'InvalidSignatureException';
  const incomplete = 'IncompleteSignatureException';
  const mustSign = /must be a 'SignedHeader' in the AWS Authorization/;
  const amzDate = (ms: number): string => new Date(Date.now() + ms).toISOString().replace(/[-:]|\.\d{3}/g, '');
  const authorization = (change: (value: string) => string) => (): RawRequest =>
    changingHeader(user.sign(), 'Authorization', change);
  const cases: readonly (readonly [string, () => RawRequest, ExpectedError])[] = [
    [
      'none',
      () => ({
        ...user.sign(),
        headers: [
          ['Host', 'x'],
          ['Content-Length', '2'],
          ['Connection', 'close'],
        ],
      }),
      { code: 'MissingAuthenticationTokenException', message: 'Missing Authentication Token' },
    ],
    [
      'a wrong secret',
      () => user.sign({ credentials: { ...user.daemon.credentials(), secretAccessKey: 'guess' } }),
      { code: invalid, message: /^The request signature we calculated does not match/ },
    ],
    [
      'an unknown access key',
      () => user.sign({ credentials: { accessKeyId: 'AKIAUNKNOWN', secretAccessKey: 'x' } }),
      { code: 'UnrecognizedClientException', message: 'The security token included in the request is invalid.' },
    ],
    ['another body', () => ({ ...user.sign(), body: Buffer.from('[]') }), { code: invalid }],
    [
      'a session token nobody gave out',
      () => user.sign({ headers: { 'X-Amz-Security-Token': 'x' } }),
      { code: 'UnrecognizedClientException' },
    ],
    [
      'an unsigned X-Amz header',
      () => withHeader(user.sign(), 'X-Amz-Custom', 'x'),
      { code: invalid, message: mustSign },
    ],
    [
      'an unsigned target',
      () => withHeader(user.sign({ target: undefined }), 'X-Amz-Target', 'TrentService.ListKeys'),
      { code: invalid, message: mustSign },
    ],
    ['the host left out', authorization((value) => value.replace('host;', '')), { code: invalid, message: mustSign }],
    [
      'a signed header that was not sent',
      authorization((value) => value.replace('host;', 'host;x-absent;')),
      { code: invalid },
    ],
    [
      'headers out of order',
      authorization((value) => value.replace('content-length;content-type', 'content-type;content-length')),
      { code: incomplete },
    ],
    [
      'no date',
      () => ({ ...user.sign(), headers: user.sign().headers.filter(([name]) => name !== 'X-Amz-Date') }),
      { code: incomplete },
    ],
    [
      'another algorithm',
      authorization((value) => value.replace('AWS4-HMAC-SHA256', 'AWS4-ECDSA-P256-SHA256')),
      { code: incomplete },
    ],
    [
      'a signature in capitals',
      authorization((value) =>
        value.replace(/Signature=.*/, (part) => part.replace(/=.*/, (hex) => hex.toUpperCase())),
      ),
      { code: incomplete },
    ],
    ['a header that is no signature', authorization(() => 'Basic dXNlcjpwYXNz'), { code: incomplete }],
    [
      'expired',
      () => user.sign({ headers: { 'X-Amz-Date': amzDate(-310_000) } }),
      {
        code: invalid,
        message: /^Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)$/,
      },
    ],
    [
      'from the future',
      () => user.sign({ headers: { 'X-Amz-Date': amzDate(310_000) } }),
      {
        code: invalid,
        message:
          /^Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)$/,
      },
    ],
    [
      'for a Region that is not served',
      () => user.sign({ region: 'eu-north-1' }),
      { code: invalid, message: 'Credential should be scoped to a valid region.' },
    ],
    [
      'for another service',
      () => user.sign({ service: 's3' }),
      { code: invalid, message: "Credential should be scoped to correct service: 'kms'." },
    ],
    [
      'Authorization twice',
      () => {
        const one = user.sign();
        return withHeader(one, 'Authorization', one.headers.find(([name]) => name === 'Authorization')?.[1] ?? '');
      },
      { code: incomplete },
    ],
    ['X-Amz-Date twice', () => withHeader(user.sign(), 'X-Amz-Date', amzDate(0)), { code: incomplete }],
    [
      'X-Amz-Target twice',
      () => withHeader(user.sign(), 'X-Amz-Target', 'TrentService.CreateKey'),
      { code: incomplete },
    ],
    ['Host twice', () => withHeader(user.sign(), 'Host', 'elsewhere'), { code: incomplete }],
    [
      'a stated hash that is another',
      () => user.sign({ headers: { 'X-Amz-Content-Sha256': 'UNSIGNED-PAYLOAD' } }),
      { code: invalid },
    ],
    [
      'presigned',
      () => ({
        ...user.sign(),
        method: 'GET',
        path: `/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x&X-Amz-Signature=${'0'.repeat(64)}`,
        body: Buffer.alloc(0),
        headers: [
          ['Host', 'x'],
          ['Connection', 'close'],
        ],
      }),
      { code: 'UnknownOperationException' },
    ],
    ['a query', () => ({ ...user.sign(), path: '/?Action=ListKeys' }), { code: 'UnknownOperationException' }],
    ['another path', () => ({ ...user.sign(), path: '/x' }), { code: 'UnknownOperationException' }],
    ['GET', () => ({ ...user.sign(), method: 'GET' }), { code: 'UnknownOperationException' }],
    ['PUT', () => ({ ...user.sign(), method: 'PUT' }), { code: 'UnknownOperationException' }],
    ['OPTIONS', () => ({ ...user.sign(), method: 'OPTIONS' }), { code: 'UnknownOperationException' }],
  ];
  it.each(cases)('%s', async (_what, make, expected) => {
    const event = user.expectError(await user.send(make()), expected);
    // Nobody was authenticated, so nobody is named.
    expect(event.userIdentity['type']).toBe('Unknown');
    expect(event.userIdentity['accountId']).toBeUndefined();
  });

  it.each([
    ['a little too large', 1_048_577, false],
    ['much too large', 16 * 1024 * 1024, false],
    ['too large and of no stated length', 2 * 1024 * 1024, true],
  ])('a body that is %s', async (_what, bytes, chunked) => {
    const answer = await user.send(user.sign({ body: Buffer.alloc(bytes, 0x20), chunked }));
    user.expectError(answer, { code: 'RequestEntityTooLargeException', status: 413 });
  });

  it.each([
    ['//', '//'],
    ['an empty query', '/?'],
    ['in absolute form', undefined],
  ])('a path that is the usual one: %s', async (_what, path = user.daemon.endpoint.href) => {
    const answer = await user.send({ ...user.sign(), path });
    expect(answer.status, answer.text).toBe(200);
  });

  it('a body of exactly the limit is read', async () => {
    const answer = await user.send(user.sign({ body: '{}'.padEnd(1_048_576, ' ') }));
    expect(answer.status, answer.text).toBe(200);
  });
});
