// What may come over a socket that is no decent request, a flood of it too: the daemon is not held up, and the audit stays small and true.
import { randomBytes } from 'node:crypto';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncryptCommand } from '@aws-sdk/client-kms';
import { describe, expect, it } from 'vitest';
import { until } from '../support/daemon.js';
import { auditLines } from '../support/inside.js';
import { bytesOf, converse, parseAnswer, type RawRequest } from '../support/raw-http.js';
import { WireUser } from '../support/wire-user.js';

const user = WireUser.ofSuite();

describe('the wire itself', () => {
  it('takes a body in chunks, and a request byte by byte', async () => {
    const chunked = await user.send(user.sign({ chunked: true }));
    expect(chunked.status, chunked.text).toBe(200);
    const bytes = bytesOf(user.sign());
    const slow = await converse(user.daemon.endpoint, (socket) => {
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
    const requests = [user.call('ListKeys', {}), user.call('Nonsense', {}), user.call('ListAliases', {})];
    const last = requests.length - 1;
    const answers = await converse(user.daemon.endpoint, (socket) => {
      socket.write(Buffer.concat(requests.map((request, i) => bytesOf(i === last ? request : keepAlive(request)))));
    });
    const bodies = answers.toString().match(/"Keys":|UnknownOperationException|"Aliases":/g);
    expect(bodies).toEqual(['"Keys":', 'UnknownOperationException', '"Aliases":']);
  });

  it('is not held up by clients that send little, and forgets those that go away', async () => {
    const before = auditLines(user.daemon.home).length;
    const slow = Array.from({ length: 50 }, () => connect(Number(user.daemon.endpoint.port), '127.0.0.1'));
    slow.forEach((socket) => socket.on('error', () => undefined));
    for (const socket of slow) socket.write('POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    await user.expectUnharmed();
    for (const socket of slow) socket.write('x');
    await user.expectUnharmed();
    slow.forEach((socket) => socket.destroy());

    const half = bytesOf(user.sign({ body: '{"Limit":10}'.padEnd(50_000, ' ') })).subarray(0, 20_000);
    await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        converse(user.daemon.endpoint, (socket) => {
          socket.write(half, () => (i % 2 === 0 ? socket.end() : socket.resetAndDestroy()));
        }),
      ),
    );
    await user.expectUnharmed();
    await until(
      async () => (await inFlight()) === 0,
      () => 'requests whose clients went away still count as being served',
    );
    // Who stops in the middle may still listen, and is refused. Who resets the connection is not.
    await untilCounted(75, before);
  });

  it('outlives a hundred connections of garbage', async () => {
    const hello = Buffer.from('16030100c8010000c40303', 'hex');
    const post = 'POST / HTTP/1.1\r\nHost: x\r\n';
    const kinds = [
      () => randomBytes(1 + Math.floor(Math.random() * 4096)),
      () => Buffer.concat([hello, randomBytes(192)]),
      () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      () => 'GET / HTTP/9.9\r\n\r\n',
      () => `${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef`,
      () => `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      () => `${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
      () => Buffer.alloc(1000),
      () => `${post}X-Long: ${'a'.repeat(40_000)}\r\n\r\n`,
      () => 'CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n',
    ];
    const expected = [
      ...Array.from({ length: 6 }, () => ['SerializationException', 'The request is not valid HTTP.', 400]),
      // Its body is not looked at.
      ['MissingAuthenticationTokenException', 'Missing Authentication Token', 400],
      ['SerializationException', 'The request is not valid HTTP.', 400],
      ['RequestEntityTooLargeException', 'The headers of the request are larger than 16 KiB.', 413],
      ['UnknownOperationException', undefined, 400],
    ];
    const before = auditLines(user.daemon.home).length;
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        converse(user.daemon.endpoint, (socket) => {
          socket.end(kinds[i % kinds.length]!());
        }),
      ),
    );
    for (const [i, answer] of answers.map(parseAnswer).entries()) {
      const { __type, message } = JSON.parse(answer.text) as { __type: string; message?: string };
      expect([__type, message, answer.status]).toEqual(expected[i % kinds.length]);
      expect(answer.headers.get('content-type')).toBe('application/x-amz-json-1.1');
      expect(answer.headers.get('connection')).toBe('close');
      expect(answer.headers.get('x-amzn-requestid')).toMatch(/^[0-9a-f-]{36}$/);
      expect(Math.abs(Date.parse(answer.headers.get('date') ?? '') - Date.now())).toBeLessThan(60_000);
    }
    await untilCounted(100, before);
    await user.expectUnharmed();
  });

  it('says the date in every answer', async () => {
    for (const request of [user.sign(), user.call('Nonsense', {})]) {
      const date = (await user.send(request)).headers.get('date') ?? '';
      expect(Math.abs(Date.parse(date) - Date.now())).toBeLessThan(60_000);
    }
  });
});

describe('the audit log', () => {
  it('aggregates a flood of unsigned requests, and no request is missing from its counts', async () => {
    const before = auditLines(user.daemon.home).length;
    const flood = 5000;
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    const codes = await Promise.all(Array.from({ length: flood }, () => unsigned(agent)));
    agent.destroy();
    expect(new Set(codes)).toEqual(new Set(['MissingAuthenticationTokenException']));
    await untilCounted(flood, before);
    const written = auditLines(user.daemon.home).slice(before);
    const times = written.map(({ record }) => Date.parse(record.eventTime));
    const seconds = (Math.max(...times) - Math.min(...times)) / 1000;
    // Twenty a second, and their count; one more second at each end, however long the flood took.
    expect(written.length).toBeLessThanOrEqual(21 * (seconds + 2));
    await user.expectUnharmed();
  });

  it('cuts what a caller may make long, and quotes what he may make odd', async () => {
    const agent = `evil"\\\t${'x'.repeat(4000)}`;
    const request = user.sign({ headers: { 'User-Agent': agent }, operation: 'Nonsense' });
    const event = user.expectError(await user.send(request), { code: 'UnknownOperationException' });
    expect(event.userAgent).toBe(agent.slice(0, 1024));
  });

  it('holds no secret and no plaintext', async () => {
    const secret = Buffer.from(`plaintext-${randomBytes(16).toString('hex')}`);
    await user.daemon.client().send(new EncryptCommand({ KeyId: user.keyId, Plaintext: secret }));
    const text = JSON.stringify(auditLines(user.daemon.home)) + user.daemon.said();
    const secrets = [secret.toString(), secret.toString('base64'), user.daemon.credentials().secretAccessKey];
    for (const each of secrets) expect(text.includes(each)).toBe(false);
  });
});

/** Waits for so many failed calls of nobody in the log, written or counted, since it had `before` lines; there are no more of them. */
async function untilCounted(calls: number, before: number): Promise<void> {
  const counted = (): number =>
    auditLines(user.daemon.home)
      .slice(before)
      .filter(({ record }) => record.userIdentity['type'] !== 'Root')
      .reduce((sum, { record }) => {
        const { eventName, serviceEventDetails } = record;
        return sum + (eventName === 'UnauthenticatedRequests' ? Number(serviceEventDetails?.['total']) : 1);
      }, 0);
  await until(
    () => counted() >= calls,
    () => `${counted()} of ${calls} requests are in the log: ${JSON.stringify(auditLines(user.daemon.home).at(-1))}`,
  );
  expect(counted()).toBe(calls);
}

async function inFlight(): Promise<number> {
  const { text } = await user.daemon.admin('/metrics');
  return Number(/^hsm_bridge_requests_in_flight (\d+)$/m.exec(text)?.[1]);
}

function unsigned(agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = user.daemon.endpoint;
    const request = httpRequest({ agent, hostname, port, method: 'POST', path: '/' }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve((JSON.parse(text) as { __type: string }).__type));
    });
    request.on('error', reject);
    request.end('{}');
  });
}
