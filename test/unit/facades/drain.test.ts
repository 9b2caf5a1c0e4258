// The end of a server: calls in the line are answered, and nobody else keeps it from ending.
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemTimers } from '../../../src/kernel/timers.js';
import { createAdminServer } from '../../../src/facades/admin/server.js';
import { type BareLine, Speaker, startBareLine, until } from './bare-line.js';

let line: BareLine;
let release: () => void;
beforeEach(async () => {
  line = await startBareLine();
  const held = new Promise<void>((resolve) => (release = resolve));
  const { append } = line.audit;
  line.audit.append = async (kind, record) => {
    await held;
    return append(kind, record);
  };
});
afterEach(() => line.close());

describe('a drain', () => {
  it.each([
    ['said nothing', () => ''],
    ['sent half a header', () => 'POST / HTTP/1.1\r\nHost: x\r\nX-Slow: '],
    ['sent half a body', () => `${line.claimed(10)}{}`],
  ])('does not wait for a connection that %s', async (_what, bytes) => {
    const speaker = await line.speaker();
    if (bytes() !== '') await speaker.say(bytes());
    await line.server.drain();
    await speaker.closed;
    expect([speaker.text, line.started()]).toEqual(['', 0]);
  });

  it('does not wait for a connection that was answered and kept open', async () => {
    release();
    const speaker = await line.speaker();
    await speaker.say(line.call('ListKeys'));
    await until(() => speaker.text.includes('"Keys"'));
    await line.server.drain();
    await speaker.closed;
  });

  it('answers the calls that are in the line, in their order, and no later one', async () => {
    const speaker = await line.speaker();
    const other = await line.speaker();
    await speaker.say(Buffer.concat([line.call('ListKeys'), line.call('ListAliases')]));
    await other.say(line.call('ListAliases'));
    await until(() => line.server.calls === 3);
    let isDrained = false;
    const drained = line.server.drain().then(() => (isDrained = true));
    await speaker.say(line.call('ListKeys'));
    await new Promise((resolve) => connect(Number(line.endpoint.port)).on('error', resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDrained).toBe(false);
    release();
    await drained;
    await Promise.all([speaker.closed, other.closed]);
    expect(speaker.text.match(/"Keys":|"Aliases":|[Cc]onnection: [-a-z]+/g)).toEqual([
      'Connection: keep-alive',
      '"Keys":',
      'Connection: close',
      '"Aliases":',
    ]);
    expect(other.answer().headers.get('connection')).toBe('close');
    expect([line.started(), line.audit.records.length]).toEqual([3, 3]);
  });

  it('answers what did not parse too', async () => {
    const speaker = await line.speaker();
    await speaker.say('no HTTP at all\r\n\r\n');
    await until(() => line.server.calls === 1);
    const drained = line.server.drain();
    release();
    await drained;
    await speaker.closed;
    expect(speaker.answer().status).toBe(400);
    expect(line.audit.records).toHaveLength(1);
  });

  it('waits for a call whose client is gone: its record is still to be written', async () => {
    const speaker = await line.speaker();
    await speaker.say(line.call('ListKeys'));
    await until(() => line.server.calls === 1);
    speaker.socket.resetAndDestroy();
    const drained = line.server.drain().then(() => line.audit.records.length);
    await new Promise((resolve) => setTimeout(resolve, 20));
    release();
    expect(await drained).toBe(1);
  });

  it('gives up on a client that does not fetch its answers', async () => {
    release();
    let connection: Socket | undefined;
    line.server.once('connection', (socket: Socket) => (connection = socket));
    const speaker = await line.speaker();
    speaker.socket.pause();
    // AWS's answer repeats the value: more than the kernel keeps for a connection.
    const long = line.call('GenerateDataKey', { KeyId: 'alias/x', KeySpec: 'x'.repeat(900_000) });
    for (let n = 0; n < 20; n++) speaker.socket.write(long);
    let fetched: number | undefined;
    do {
      fetched = connection?.bytesWritten;
      await new Promise((resolve) => setTimeout(resolve, 100));
    } while (!connection?.writableLength || connection.bytesWritten !== fetched);
    await line.server.drain();
    expect(connection.destroyed).toBe(true);
  });
});

it('the admin port drains alike, and finishes what it was reading', async () => {
  let answer: (text: string) => void = () => undefined;
  let asked = false;
  const metrics = (): Promise<string> => {
    asked = true;
    return new Promise((resolve) => (answer = resolve));
  };
  const server = createAdminServer({ ready: () => ({ ready: true, checks: {} }), metrics }, systemTimers);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const silent = await Speaker.on(endpoint);
  const half = await Speaker.on(endpoint);
  await half.say('GET /health/li');
  const scrape = await Speaker.on(endpoint);
  await scrape.say('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until(() => asked);
  const drained = server.drain();
  await Promise.all([silent.closed, half.closed]);
  answer('figures 1\n');
  await drained;
  await scrape.closed;
  expect(scrape.answer()).toMatchObject({ status: 200, text: 'figures 1\n' });
});
