// What Node's parser would turn away by itself: AWS's words, and one record.
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RawAnswer } from '../../support/raw-http.js';
import { accounts, region } from '../../support/line.js';
import { type BareLine, startBareLine, until } from './bare-line.js';

let line: BareLine;
beforeEach(async () => {
  line = await startBareLine();
});
afterEach(() => line.close());

const records = () => line.audit.records.map(({ record }) => record);

function expectRefusal(answer: RawAnswer, status: number, code: string, message?: string): void {
  expect([answer.status, JSON.parse(answer.text)]).toEqual([
    status,
    { __type: code, ...(message === undefined ? {} : { message }) },
  ]);
  expect(answer.headers.get('content-type')).toBe('application/x-amz-json-1.1');
  expect(answer.headers.get('connection')).toBe('close');
  expect(Math.abs(Date.parse(answer.headers.get('date') ?? '') - Date.now())).toBeLessThan(60_000);
  expect(records()).toHaveLength(1);
  expect(records()[0]).toMatchObject({
    requestID: answer.headers.get('x-amzn-requestid'),
    errorCode: code,
    sourceIPAddress: '127.0.0.1',
    userIdentity: { type: 'Unknown' },
  });
  expect(line.outcomes).toEqual([`unknown ${code}`]);
  expect(line.started()).toBe(1);
}

const invalid = ['SerializationException', 'The request is not valid HTTP.'] as const;
const cases: readonly (readonly [string, string, number, string, string | undefined])[] = [
  ['no HTTP', '\0'.repeat(1000), 400, ...invalid],
  ['a TLS greeting', `\x16\x03\x01\x00\xc8\x01${'\0'.repeat(199)}`, 400, ...invalid],
  ['HTTP/2 without negotiation', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, ...invalid],
  ['a version that is none', 'GET / HTTP/9.9\r\n\r\n', 400, ...invalid],
  [
    'two lengths',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef',
    400,
    ...invalid,
  ],
  [
    'headers above 16 KiB',
    `POST / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(40_000)}\r\n\r\n`,
    413,
    'RequestEntityTooLargeException',
    'The headers of the request are larger than 16 KiB.',
  ],
  ['a tunnel', 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'UnknownOperationException', undefined],
];

describe('a request that does not parse', () => {
  it.each(cases)('%s', async (_what, bytes, status, code, message) => {
    expectRefusal(await line.exchange(bytes), status, code, message);
  });

  it('a body in broken chunks', async () => {
    expectRefusal(await line.exchange(`${line.claimed('chunked')}zz\r\n`), 400, ...invalid);
  });

  it.each([
    ['its line', () => 'POST / HT'],
    ['its body', () => `${line.claimed(10)}{}`],
  ])('cut off in %s', async (_what, bytes) => {
    const speaker = await line.speaker();
    speaker.socket.end(bytes());
    await speaker.closed;
    expectRefusal(speaker.answer(), 400, ...invalid);
  });

  it('is answered when its client has nothing more to say', async () => {
    let connection: Socket | undefined;
    line.server.once('connection', (socket: Socket) => (connection = socket));
    const { appendUnauthenticated } = line.audit;
    line.audit.appendUnauthenticated = async (...words) => {
      await until(() => connection?.readableEnded === true);
      return appendUnauthenticated(...words);
    };
    const speaker = await line.speaker();
    speaker.socket.end('nonsense');
    await speaker.closed;
    expectRefusal(speaker.answer(), 400, ...invalid);
  });

  it('is answered once, however much more of it comes', async () => {
    const speaker = await line.speaker();
    for (let n = 0; n < 20; n++) await speaker.say('\0'.repeat(1000));
    await speaker.closed;
    expect(speaker.text.split('HTTP/1.1')).toHaveLength(2);
    expect(records()).toHaveLength(1);
  });

  it('comes after the answer of the call before it', async () => {
    const speaker = await line.speaker();
    await speaker.say(Buffer.concat([line.call('ListKeys'), Buffer.from('nonsense\r\n\r\n')]));
    await speaker.closed;
    expect(speaker.text.match(/HTTP\/1\.1 \d+|"Keys"|"__type"/g)).toEqual([
      'HTTP/1.1 200',
      '"Keys"',
      'HTTP/1.1 400',
      '"__type"',
    ]);
    expect(records().map(({ errorCode }) => errorCode)).toEqual([undefined, invalid[0]]);
  });

  it('is recorded and not answered while the call before it is in the line', async () => {
    const { append } = line.audit;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    line.audit.append = async (kind, record) => {
      if (record.includes('"ListKeys"')) await held;
      return append(kind, record);
    };
    const speaker = await line.speaker();
    await speaker.say(Buffer.concat([line.call('ListKeys'), Buffer.from('nonsense\r\n\r\n')]));
    await until(() => records().length === 1);
    release();
    await speaker.closed;
    const answer = speaker.answer();
    expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close']);
    expect(records().map(({ errorCode }) => errorCode)).toEqual([invalid[0], undefined]);
  });
});

describe('a request that takes too long', () => {
  beforeEach(async () => {
    await line.close();
    line = await startBareLine({ hurry: true });
  });

  it.each([
    ['in its headers', () => 'POST / HTTP/1.1\r\nHost: x\r\nX-Slow: '],
    ['in its body', () => `${line.claimed(10)}{}`],
  ])('%s', async (_what, bytes) => {
    expectRefusal(await line.exchange(bytes()), 400, 'SerializationException', 'The request did not arrive in time.');
  });

  it('is not performed when the rest of it comes after all, while the refusal is being recorded', async () => {
    const { append } = line.audit;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    line.audit.append = async (kind, record) => {
      await held;
      return append(kind, record);
    };
    const whole = line.call('CreateKey');
    const speaker = await line.speaker();
    await speaker.say(whole.subarray(0, -1));
    await until(() => line.server.calls === 1);
    await speaker.say(whole.subarray(-1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    release();
    await speaker.closed;
    expectRefusal(speaker.answer(), 400, 'SerializationException', 'The request did not arrive in time.');
    expect(await line.store.keys.count({ region, accountId: accounts.first })).toBe(0);
  });

  it('leaves no record when not a byte of it came', async () => {
    const speaker = await line.speaker();
    await speaker.closed;
    expect([speaker.text, records()]).toEqual(['', []]);
  });
});

describe('a request that is odd', () => {
  it('is served whatever it expects', async () => {
    const speaker = await line.speaker();
    await speaker.say(line.call('ListKeys').toString('latin1').replace('\r\n', '\r\nExpect: nope\r\n'));
    await until(() => speaker.text.includes('"Keys"'));
    expect(speaker.answer().status).toBe(200);
  });

  it('is refused in AWS’s words without a host', async () => {
    const answer = await line.exchange('POST / HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    expectRefusal(answer, 400, 'MissingAuthenticationTokenException', 'Missing Authentication Token');
  });
});

it('a connection that breaks is no request', async () => {
  const speaker = await line.speaker();
  await speaker.say(`${line.claimed(10)}{}`);
  speaker.socket.resetAndDestroy();
  await speaker.closed;
  const next = await line.exchange('POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  expectRefusal(next, 400, 'MissingAuthenticationTokenException', 'Missing Authentication Token');
});
