// Bad input over the wire: AWS's error, one audit record, and a daemon that goes on as if nothing had been.
import { Agent, request as httpRequest } from 'node:http';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateKeyCommand, DecryptCommand, EncryptCommand } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TestDaemon, until } from '../support/daemon.js';
import { type AuditRecord, auditLines, eventsById, expectSoundAudit } from '../support/inside.js';
import {
  bytesOf,
  changingHeader,
  converse,
  exchange,
  parseAnswer,
  type RawAnswer,
  type RawRequest,
  signed,
  type SignOptions,
  withHeader,
} from '../support/raw-http.js';

let daemon: TestDaemon;
let keyId: string;
beforeAll(async () => {
  daemon = await TestDaemon.started();
  const { KeyMetadata } = await daemon.client().send(new CreateKeyCommand({}));
  keyId = KeyMetadata?.KeyId ?? '';
});
afterAll(async () => {
  await daemon.clean();
});

function sign(options: Partial<SignOptions> & { readonly operation?: string } = {}): RawRequest {
  const { operation = 'ListKeys' } = options;
  return signed({
    endpoint: daemon.endpoint,
    credentials: daemon.credentials(),
    target: `TrentService.${operation}`,
    body: '{}',
    ...options,
  });
}

const call = (operation: string, input: unknown): RawRequest =>
  sign({ operation, body: typeof input === 'string' || Buffer.isBuffer(input) ? input : JSON.stringify(input) });

interface Expected {
  readonly code: string;
  readonly status?: number;
  readonly message?: string | RegExp;
}

/** The answer is AWS's error in every respect, and the audit has exactly one record of it. */
async function expectError(answer: RawAnswer, { code, status = 400, message }: Expected): Promise<AuditRecord> {
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status });
  expect(answer.headers.get('content-type')).toBe('application/x-amz-json-1.1');
  expect(Math.abs(Date.parse(answer.headers.get('date') ?? '') - Date.now())).toBeLessThan(60_000);
  const body = JSON.parse(answer.text) as { __type: string; message?: string };
  expect(body.__type, answer.text).toBe(code);
  if (typeof message === 'string') expect(body.message).toBe(message);
  else if (message !== undefined) expect(body.message).toMatch(message);
  expect(Object.keys(body).sort().join()).toMatch(/^__type(,message)?$/);
  expectNoStack(answer.text);
  const requestId = answer.headers.get('x-amzn-requestid') ?? '';
  const events = eventsById(daemon.home).get(requestId) ?? [];
  expect(events, `audit events of ${requestId}`).toHaveLength(1);
  const [event] = events;
  expect(event).toMatchObject({ errorCode: code, requestID: requestId });
  expect(event?.errorMessage).toBe(body.message);
  return event!;
}

const expectNoStack = (text: string): void =>
  expect(text).not.toMatch(/\bat [\w.<>]+ \(|\.[jt]s:\d+|node:internal|\/src\/|\/dist\//);

async function expectUnharmed(): Promise<void> {
  const kms = daemon.client();
  const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('still here') }));
  const { Plaintext } = await kms.send(new DecryptCommand({ CiphertextBlob }));
  expect(Buffer.from(Plaintext ?? []).toString()).toBe('still here');
  expect((await daemon.admin('/health/ready')).status).toBe(200);
}

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
    ['a fraction where a whole number belongs', 'ListKeys', { Limit: 1.5 }],
    ['a string where a boolean belongs', 'CreateKey', { MultiRegion: 'false' }],
    ['a list where a map belongs', 'Encrypt', { KeyId: 'x', Plaintext: 'eA==', EncryptionContext: [] }],
    ['a number in a map of strings', 'Encrypt', { KeyId: 'x', Plaintext: 'eA==', EncryptionContext: { a: 1 } }],
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
    const event = await expectError(await exchange(daemon.endpoint, call(operation, input)), {
      code: 'SerializationException',
    });
    expect(event.eventName).toBe(operation);
    expect(event.userIdentity).toMatchObject({ type: 'Root', accountId: '000000000000' });
  });

  it('ignores members it does not know', async () => {
    const input = { Limit: 10, Unknown: { deep: [1] }, __proto__: null, constructor: 'x', limit: 'not a number' };
    const answer = await exchange(daemon.endpoint, call('ListKeys', input));
    expect(answer.status, answer.text).toBe(200);
    const inherited = await exchange(daemon.endpoint, call('DescribeKey', `{"__proto__":{"KeyId":"${keyId}"}}`));
    await expectError(inherited, { code: 'ValidationException', message: /Value null at 'keyId' failed/ });
  });

  it('binds an encryption context whose names JavaScript holds dear', async () => {
    const context = '{"__proto__":"a","constructor":"b","toString":"c"}';
    const body = `{"KeyId":"${keyId}","Plaintext":"eA==","EncryptionContext":${context}}`;
    const { CiphertextBlob } = JSON.parse((await exchange(daemon.endpoint, call('Encrypt', body))).text) as {
      CiphertextBlob: string;
    };
    const opened = await exchange(
      daemon.endpoint,
      call('Decrypt', `{"CiphertextBlob":"${CiphertextBlob}","EncryptionContext":${context}}`),
    );
    expect(opened.status, opened.text).toBe(200);
    const bare = `{"CiphertextBlob":"${CiphertextBlob}","EncryptionContext":{"constructor":"b","toString":"c"}}`;
    await expectError(await exchange(daemon.endpoint, call('Decrypt', bare)), { code: 'InvalidCiphertextException' });
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
    await expectError(await exchange(daemon.endpoint, sign({ target })), { code: 'UnknownOperationException' });
  });

  it.each(['sts', 'iam', 'cloudtrail'])('%s is not served yet: UnknownOperationException', async (service) => {
    const body = 'Action=GetCallerIdentity&Version=2011-06-15';
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const answer = await exchange(daemon.endpoint, sign({ service, target: undefined, body, headers }));
    await expectError(answer, { code: 'UnknownOperationException' });
    const disguised = await exchange(daemon.endpoint, sign({ service, target: 'TrentService.ListKeys' }));
    await expectError(disguised, { code: 'UnknownOperationException' });
  });
});

describe('a request that is not signed as it should be', () => {
  // The first twenty of a second are recorded one by one: the table stays below that.
  beforeEach(() => sleep(70));

  const invalid = 'InvalidSignatureException';
  const incomplete = 'IncompleteSignatureException';
  const mustSign = /must be a 'SignedHeader' in the AWS Authorization/;
  const amzDate = (ms: number): string => new Date(Date.now() + ms).toISOString().replace(/[-:]|\.\d{3}/g, '');
  const authorization = (change: (value: string) => string) => (): RawRequest =>
    changingHeader(sign(), 'Authorization', change);
  const cases: readonly (readonly [string, () => RawRequest, Expected])[] = [
    [
      'none',
      () => ({
        ...sign(),
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
      () => sign({ credentials: { ...daemon.credentials(), secretAccessKey: 'guess' } }),
      { code: invalid, message: /^The request signature we calculated does not match/ },
    ],
    [
      'an unknown access key',
      () => sign({ credentials: { accessKeyId: 'AKIAUNKNOWN', secretAccessKey: 'x' } }),
      { code: 'UnrecognizedClientException', message: 'The security token included in the request is invalid.' },
    ],
    ['another body', () => ({ ...sign(), body: Buffer.from('[]') }), { code: invalid }],
    [
      'a session token nobody gave out',
      () => sign({ headers: { 'X-Amz-Security-Token': 'x' } }),
      { code: 'UnrecognizedClientException' },
    ],
    ['an unsigned X-Amz header', () => withHeader(sign(), 'X-Amz-Custom', 'x'), { code: invalid, message: mustSign }],
    [
      'an unsigned target',
      () => withHeader(sign({ target: undefined }), 'X-Amz-Target', 'TrentService.ListKeys'),
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
      () => ({ ...sign(), headers: sign().headers.filter(([name]) => name !== 'X-Amz-Date') }),
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
      () => sign({ headers: { 'X-Amz-Date': amzDate(-310_000) } }),
      {
        code: invalid,
        message: /^Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)$/,
      },
    ],
    [
      'from the future',
      () => sign({ headers: { 'X-Amz-Date': amzDate(310_000) } }),
      {
        code: invalid,
        message:
          /^Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)$/,
      },
    ],
    [
      'for a Region that is not served',
      () => sign({ region: 'eu-north-1' }),
      { code: invalid, message: 'Credential should be scoped to a valid region.' },
    ],
    [
      'for another service',
      () => sign({ service: 's3' }),
      { code: invalid, message: "Credential should be scoped to correct service: 'kms'." },
    ],
    [
      'Authorization twice',
      () => {
        const one = sign();
        return withHeader(one, 'Authorization', one.headers.find(([name]) => name === 'Authorization')?.[1] ?? '');
      },
      { code: incomplete },
    ],
    ['X-Amz-Date twice', () => withHeader(sign(), 'X-Amz-Date', amzDate(0)), { code: incomplete }],
    ['X-Amz-Target twice', () => withHeader(sign(), 'X-Amz-Target', 'TrentService.CreateKey'), { code: incomplete }],
    ['Host twice', () => withHeader(sign(), 'Host', 'elsewhere'), { code: incomplete }],
    [
      'a stated hash that is another',
      () => sign({ headers: { 'X-Amz-Content-Sha256': 'UNSIGNED-PAYLOAD' } }),
      { code: invalid },
    ],
    [
      'presigned',
      () => ({
        ...sign(),
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
    ['a query', () => ({ ...sign(), path: '/?Action=ListKeys' }), { code: 'UnknownOperationException' }],
    ['another path', () => ({ ...sign(), path: '//' }), { code: 'UnknownOperationException' }],
    ['GET', () => ({ ...sign(), method: 'GET' }), { code: 'UnknownOperationException' }],
    ['PUT', () => ({ ...sign(), method: 'PUT' }), { code: 'UnknownOperationException' }],
    ['OPTIONS', () => ({ ...sign(), method: 'OPTIONS' }), { code: 'UnknownOperationException' }],
  ];
  it.each(cases)('%s', async (_what, make, expected) => {
    const event = await expectError(await exchange(daemon.endpoint, make()), expected);
    // Nobody was authenticated, so nobody is named.
    expect(event.userIdentity['type']).toBe('Unknown');
    expect(event.userIdentity['accountId']).toBeUndefined();
  });

  it.each([
    ['a little too large', 1_048_577, false],
    ['much too large', 16 * 1024 * 1024, false],
    ['too large and of no stated length', 2 * 1024 * 1024, true],
  ])('a body that is %s', async (_what, bytes, chunked) => {
    const answer = await exchange(daemon.endpoint, sign({ body: Buffer.alloc(bytes, 0x20), chunked }));
    await expectError(answer, { code: 'RequestEntityTooLargeException', status: 413 });
  });

  it('a body of exactly the limit is read', async () => {
    const answer = await exchange(daemon.endpoint, sign({ body: '{}'.padEnd(1_048_576, ' ') }));
    expect(answer.status, answer.text).toBe(200);
  });
});

describe('the wire itself', () => {
  it('takes a body in chunks, and a request byte by byte', async () => {
    const chunked = await exchange(daemon.endpoint, sign({ chunked: true }));
    expect(chunked.status, chunked.text).toBe(200);
    const bytes = bytesOf(sign());
    const slow = await converse(daemon.endpoint, (socket) => {
      socket.setNoDelay(true);
      void (async () => {
        for (let at = 0; at < bytes.length; at += 7) {
          socket.write(bytes.subarray(at, at + 7));
          await sleep(1);
        }
      })();
    });
    expect(parseAnswer(slow).status).toBe(200);
  });

  it('answers pipelined requests in their order', async () => {
    const keepAlive = (request: RawRequest): RawRequest => ({
      ...request,
      headers: request.headers.filter(([name]) => name !== 'Connection'),
    });
    const requests = [call('ListKeys', {}), call('Nonsense', {}), call('ListAliases', {})];
    const last = requests.length - 1;
    const answers = await converse(daemon.endpoint, (socket) => {
      socket.write(Buffer.concat(requests.map((request, i) => bytesOf(i === last ? request : keepAlive(request)))));
    });
    const bodies = answers.toString().match(/"Keys":|UnknownOperationException|"Aliases":/g);
    expect(bodies).toEqual(['"Keys":', 'UnknownOperationException', '"Aliases":']);
  });

  it('is not held up by clients that send little, and forgets those that go away', async () => {
    const slow = Array.from({ length: 50 }, () => connect(Number(daemon.endpoint.port), '127.0.0.1'));
    slow.forEach((socket) => socket.on('error', () => undefined));
    for (const socket of slow) socket.write('POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    await expectUnharmed();
    for (const socket of slow) socket.write('x');
    await expectUnharmed();
    slow.forEach((socket) => socket.destroy());

    const half = bytesOf(sign({ body: '{"Limit":10}'.padEnd(50_000, ' ') })).subarray(0, 20_000);
    await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        converse(daemon.endpoint, (socket) => {
          socket.write(half, () => (i % 2 === 0 ? socket.end() : socket.resetAndDestroy()));
        }),
      ),
    );
    await expectUnharmed();
    await until(
      async () => (await inFlight()) === 0,
      () => 'requests whose clients went away still count as being served',
    );
  });

  it('outlives a hundred connections of garbage', async () => {
    const hello = Buffer.from('16030100c8010000c40303', 'hex');
    const kinds = [
      () => randomBytes(1 + Math.floor(Math.random() * 4096)),
      () => Buffer.concat([hello, randomBytes(192)]),
      () => Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      () => Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(40_000)}\r\n\r\n`),
      () => Buffer.from('GET / HTTP/9.9\r\n\r\n'),
      () => Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef'),
      () =>
        Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
      () => Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'),
      () => Buffer.from('CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n'),
      () => Buffer.alloc(1000),
    ];
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        converse(daemon.endpoint, (socket) => {
          socket.end(kinds[i % kinds.length]!());
        }),
      ),
    );
    for (const answer of answers) {
      expectNoStack(answer.toString('latin1'));
      expect(answer.toString('latin1')).toMatch(/^(|HTTP\/1\.1 4\d\d [^]*)$/);
    }
    await expectUnharmed();
  });

  it('says the date in every answer', async () => {
    for (const request of [sign(), call('Nonsense', {})]) {
      const date = (await exchange(daemon.endpoint, request)).headers.get('date') ?? '';
      expect(Math.abs(Date.parse(date) - Date.now())).toBeLessThan(60_000);
    }
  });
});

describe('the audit log', () => {
  it('aggregates a flood of unsigned requests, and no request is missing from its counts', async () => {
    const before = auditLines(daemon.home).length;
    const flood = 5000;
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    const codes = await Promise.all(Array.from({ length: flood }, () => unsigned(agent)));
    agent.destroy();
    expect(new Set(codes)).toEqual(new Set(['MissingAuthenticationTokenException']));
    const records = () =>
      auditLines(daemon.home)
        .slice(before)
        .map(({ record }) => record);
    const counted = (): number =>
      records().reduce((sum, { eventName, serviceEventDetails }) => {
        return sum + (eventName === 'UnauthenticatedRequests' ? Number(serviceEventDetails?.['total']) : 1);
      }, 0);
    await until(
      () => counted() >= flood,
      () => `${counted()} of ${flood} requests are in the log: ${JSON.stringify(records().at(-1))}`,
    );
    expect(counted()).toBe(flood);
    expect(records().length).toBeLessThan(flood / 10);
    await expectUnharmed();
  });

  it('cuts what a caller may make long, and quotes what he may make odd', async () => {
    const agent = `evil"\\\t${'x'.repeat(4000)}`;
    const request = sign({ headers: { 'User-Agent': agent }, operation: 'Nonsense' });
    const event = await expectError(await exchange(daemon.endpoint, request), { code: 'UnknownOperationException' });
    expect(event.userAgent).toBe(agent.slice(0, 1024));
  });

  it('holds no secret and no plaintext', async () => {
    const secret = Buffer.from(`plaintext-${randomBytes(16).toString('hex')}`);
    await daemon.client().send(new EncryptCommand({ KeyId: keyId, Plaintext: secret }));
    const text = JSON.stringify(auditLines(daemon.home)) + daemon.said();
    const secrets = [secret.toString(), secret.toString('base64'), daemon.credentials().secretAccessKey];
    for (const each of secrets) expect(text.includes(each)).toBe(false);
  });

  it('is intact after all of this', async () => {
    expect(await daemon.stop()).toBe(0);
    await expectSoundAudit(daemon.home);
    expectNoStack(daemon.said());
  });
});

async function inFlight(): Promise<number> {
  const { text } = await daemon.admin('/metrics');
  return Number(/^hsm_bridge_requests_in_flight (\d+)$/m.exec(text)?.[1]);
}

function unsigned(agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = daemon.endpoint;
    const request = httpRequest({ agent, hostname, port, method: 'POST', path: '/' }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve((JSON.parse(text) as { __type: string }).__type));
    });
    request.on('error', reject);
    request.end('{}');
  });
}
