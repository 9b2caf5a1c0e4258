// A stranger at the endpoint itself: what he sends costs little, is refused in AWS's words, leaves one record, and ends his connection.
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConnectionTable, usualLimits } from '../../../src/facades/aws-json/connections.js';
import { type BareLine, startBareLine, until } from './bare-line.js';

let line: BareLine;
beforeEach(async () => {
  line = await startBareLine();
});
afterEach(() => line.close());

const errors = (): unknown[] => line.audit.records.map(({ record }) => record['errorCode']);
const many = (count: number, header: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => `${header(n)}\r\n`).join('');
/** The request with these header lines before its own. */
const withLines = (request: Buffer, lines: string): string => {
  const text = request.toString('latin1');
  const at = text.indexOf('\r\n') + 2;
  return text.slice(0, at) + lines + text.slice(at);
};

describe('a body', () => {
  it.each([
    ['no signature', 'POST / HTTP/1.1\r\nHost: x\r\n', 'MissingAuthenticationTokenException'],
    ['another method', 'PUT / HTTP/1.1\r\nHost: x\r\n', 'UnknownOperationException'],
    ['another path', 'POST /x HTTP/1.1\r\nHost: x\r\n', 'UnknownOperationException'],
    [
      'half a signature',
      'POST / HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4-HMAC-SHA256\r\n',
      'IncompleteSignatureException',
    ],
  ])('is not waited for after headers with %s', async (_what, head, code) => {
    for (const framing of ['Content-Length: 1000', 'Transfer-Encoding: chunked']) {
      const speaker = await line.speaker();
      await speaker.say(`${head}${framing}\r\n\r\n`);
      await speaker.closed;
      const answer = speaker.answer();
      expect((JSON.parse(answer.text) as { __type: string }).__type).toBe(code);
      expect(answer.headers.get('connection')).toBe('close');
    }
    expect(errors()).toEqual([code, code]);
  });

  it.each([
    ['expired', -400_000, /^Signature expired/],
    ['not yet current', 400_000, /^Signature not yet current/],
  ])('is not waited for when the signature is %s', async (_what, offsetMs, message) => {
    line.clock.offsetMs = -offsetMs;
    const speaker = await line.speaker();
    await speaker.say(line.claimed(1000));
    await speaker.closed;
    expect((JSON.parse(speaker.answer().text) as { message: string }).message).toMatch(message);
    expect(errors()).toEqual(['InvalidSignatureException']);
  });

  it('is not asked for when the headers are refused', async () => {
    const refused = await line.speaker();
    await refused.say('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n');
    await refused.closed;
    expect(refused.text).toMatch(/^HTTP\/1\.1 400 /);
    const speaker = await line.speaker();
    const [head = '', body = ''] = withLines(line.call('ListKeys'), 'Expect: 100-continue\r\n').split('\r\n\r\n');
    await speaker.say(`${head}\r\n\r\n`);
    await until(() => speaker.text.includes('100 Continue'));
    await speaker.say(body);
    await until(() => speaker.text.includes('"Keys"'));
  });

  it('in a million chunks of one byte is refused with little of it held', async () => {
    const speaker = await line.speaker();
    void speaker.say(line.claimed('chunked') + '1\r\nx\r\n'.repeat(1_000_000));
    await speaker.closed;
    expect((JSON.parse(speaker.answer().text) as { __type: string }).__type).toBe('RequestEntityTooLargeException');
    expect(errors()).toEqual(['RequestEntityTooLargeException']);
  });

  it('in chunks is taken as any other, without trailers', async () => {
    const chunked = (trailer: string): string => `${line.claimed('chunked')}1\r\n{\r\n1\r\n}\r\n0\r\n${trailer}\r\n`;
    await line.exchange(chunked(''));
    const answer = await line.exchange(chunked('x-amz-target: TrentService.Decrypt\r\n'));
    expect(JSON.parse(answer.text)).toEqual({
      __type: 'SerializationException',
      message: 'Trailers are not accepted.',
    });
    expect(errors()).toEqual(['InvalidSignatureException', 'SerializationException']);
  });
});

it('trailers are refused without harm to a connection that was signed for, as a proxy’s is', async () => {
  const speaker = await line.speaker();
  const lists = (): number => speaker.text.split('"Keys"').length - 1;
  await speaker.say(line.call('ListKeys'));
  await until(() => lists() === 1);
  await speaker.say(`${line.claimed('chunked')}2\r\n{}\r\n0\r\na: b\r\n\r\n`);
  await until(() => speaker.text.includes('Trailers are not accepted.'));
  await speaker.say(line.call('ListKeys'));
  await until(() => lists() === 2);
});

describe('headers', () => {
  it.each([
    ['an unsigned x-amz header', 'X-Amz-Custom: x\r\n'],
    ['a second target', 'X-Amz-Target: TrentService.CreateKey\r\n'],
  ])('past the limit are not dropped: %s behind 2,000 others', async (_what, last) => {
    const request = line.call('ListKeys').toString('latin1');
    const end = request.indexOf('\r\n\r\n') + 2;
    const long = request.slice(0, end) + many(2000, (n) => `a${n}:`) + last + request.slice(end);
    const speaker = await line.speaker();
    await speaker.say(long);
    await speaker.closed;
    const { __type, message } = JSON.parse(speaker.answer().text) as { __type: string; message: string };
    expect([__type, message]).toEqual(['RequestEntityTooLargeException', 'The request has more than 64 headers.']);
    expect(errors()).toEqual(['RequestEntityTooLargeException']);
  });

  it('are 64 at most', async () => {
    const own = line.call('ListKeys').toString('latin1').split('\r\n\r\n')[0]!.split('\r\n').length - 1;
    const statusWith = async (headers: number): Promise<number> => {
      const speaker = await line.speaker();
      await speaker.say(
        withLines(
          line.call('ListKeys'),
          many(headers - own, (n) => `a${n}: b`),
        ),
      );
      await until(() => speaker.text.includes('\r\n\r\n'));
      return Number(speaker.text.slice(9, 12));
    };
    expect([await statusWith(64), await statusWith(65)]).toEqual([200, 413]);
  });

  it.each([
    ['names and values', many(60, (n) => `a${n}: ${'x'.repeat(280)}`)],
    ['blanks', `a:${' '.repeat(3_000_000)}b\r\n`],
    ['empty lines', '\r\n'.repeat(100_000)],
  ])('are 16 KiB at most, in %s too', async (what, lines) => {
    const request = line.call('ListKeys');
    const speaker = await line.speaker();
    await speaker.say(what === 'empty lines' ? lines + request.toString('latin1') : withLines(request, lines));
    await speaker.closed;
    expect(JSON.parse(speaker.answer().text)).toEqual({
      __type: 'RequestEntityTooLargeException',
      message: 'The headers of the request are larger than 16 KiB.',
    });
    expect(errors()).toEqual(['RequestEntityTooLargeException']);
  });
});

it('answers with headers spelled as AWS spells them, for clients that compare', async () => {
  const written = (text: string): string[] =>
    text
      .slice(0, text.indexOf('\r\n\r\n'))
      .split('\r\n')
      .slice(1)
      .map((each) => each.slice(0, each.indexOf(':')));
  const client = await line.speaker();
  await client.say(line.call('ListKeys'));
  await until(() => client.text.includes('"Keys"'));
  const stranger = await line.speaker();
  await stranger.say(`${line.claimed(2)}{}`);
  // Written on the bare socket.
  const unparsed = await line.speaker();
  await unparsed.say('nonsense\r\n\r\n');
  await Promise.all([stranger.closed, unparsed.closed]);
  for (const { text } of [client, stranger, unparsed])
    expect(written(text)).toEqual(
      expect.arrayContaining(['Content-Length', 'Content-Type', 'x-amzn-RequestId', 'Date']),
    );
});

describe('a connection', () => {
  it('ends with the first answer to a stranger, and lasts for who has signed well', async () => {
    const stranger = await line.speaker();
    await stranger.say(`${line.claimed(2)}{}`);
    await stranger.closed;
    expect(stranger.answer().headers.get('connection')).toBe('close');
    const client = await line.speaker();
    await client.say(line.call('ListKeys'));
    await until(() => client.text.includes('"Keys"'));
    await client.say(`${line.claimed(2)}{}`);
    await until(() => client.text.includes('InvalidSignature'));
    await client.say(line.call('ListAliases'));
    await until(() => client.text.includes('"Aliases"'));
  });

  it('of a stranger who has begun to speak ends in time, with an answer and a record', async () => {
    await line.close();
    let nowMs = 0;
    const connections = new ConnectionTable({
      limits: { ...usualLimits, firstSignatureMs: 30 },
      clock: { monotonicMs: () => nowMs },
    });
    line = await startBareLine({ connections });
    const slow = await line.speaker();
    const half = await line.speaker();
    const client = await line.speaker();
    await slow.say('POST / HTTP/1.1\r\nX-Slow: ');
    await half.say(`${line.claimed(10)}{}`);
    await client.say(line.call('ListKeys'));
    await until(() => client.text.includes('"Keys"'));
    nowMs = 30;
    await Promise.all([slow.closed, half.closed]);
    const refusal = { __type: 'SerializationException', message: 'The request did not arrive in time.' };
    expect([slow, half].map((speaker) => JSON.parse(speaker.answer().text) as unknown)).toEqual([refusal, refusal]);
    expect(errors()).toEqual([undefined, 'SerializationException', 'SerializationException']);
    expect(client.isClosed).toBe(false);
  });

  it('without addresses, as a UNIX socket is, is no broken one', async () => {
    line.server.prependListener('connection', (socket: Socket) =>
      Object.defineProperties(socket, { remoteAddress: { value: undefined }, localAddress: { value: undefined } }),
    );
    const answer = await line.exchange('nonsense\r\n\r\n');
    expect(answer.status).toBe(400);
    expect(errors()).toEqual(['SerializationException']);
  });
});
