// Two accounts at one host of the test's own, which answers one request at a time, in their order, and notes whose it was.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/kernel/clock.js';
import { Secret } from '../../src/kernel/secret.js';
import { theDaemon } from '../../src/ports/token.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { connectToken, type TokenClient, type TokenClientOptions } from '../../src/token/client.js';
import { FrameDecoder } from '../../src/token/frames.js';

const busy = '111111111111';
const other = '222222222222';
const coded = (code: string): object => expect.objectContaining({ name: 'BridgeError', code }) as object;

let home: string;
let server: Server;
let sockets: Socket[];
/** Of requests that lie at the host: their ids, and how many bytes of randomness they ask for, by which the test tells them apart. */
let requests: { readonly id: number; readonly bytes: number }[];
let client: TokenClient;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'hsm-bridge-turns-'));
  sockets = [];
  requests = [];
  server = createServer((socket) => {
    sockets.push(socket);
    const decoder = new FrameDecoder((id, _op, payload) => {
      requests.push({ id, bytes: payload.readUInt32BE() });
      return true;
    });
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => decoder.push(chunk));
  });
  await new Promise<void>((resolve) => server.listen(join(home, 's'), resolve));
  connect();
});

afterEach(async () => {
  await client.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  rmSync(home, { recursive: true });
});

function connect(changes: Partial<TokenClientOptions> = {}): void {
  const socketPath = join(home, 's');
  const onOverrun = (): void => undefined;
  client = connectToken({
    socketPath,
    deadlineMs: 10_000,
    clock: systemClock,
    timers: systemTimers,
    onOverrun,
    ...changes,
  });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** The host answers the oldest request, and reads what that brings. */
async function answerOne(): Promise<void> {
  const oldest = requests.shift();
  if (oldest === undefined) throw new Error('the host has no request');
  const bytes = Buffer.alloc(9 + oldest.bytes);
  bytes.writeUInt32BE(5 + oldest.bytes);
  bytes.writeUInt32BE(oldest.id, 4);
  sockets[0]!.write(bytes);
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function connected(): Promise<void> {
  client.ready();
  await until(() => sockets.length === 1);
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const outcomeOf = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

/** Calls of the busy account, one byte each; what becomes of them is looked at by who wants to. */
const flood = (calls: number): Promise<unknown>[] =>
  Array.from({ length: calls }, () => outcomeOf(client.as(busy).random(1)));

describe('an account that has 1,000 calls under way', () => {
  it('lets another’s be answered after 64 of its own at most, and the next again', async () => {
    await connected();
    void Promise.all(flood(1000));
    await until(() => requests.length >= 64);
    for (let n = 2; n < 6; n++) {
      const answered: number[] = [];
      const call = client
        .as(other)
        .random(n)
        .then(() => answered.push(n));
      await until(() => requests.some(({ bytes }) => bytes === n));
      let count = 0;
      for (; answered.length === 0; count++) await answerOne();
      await call;
      expect(count).toBeLessThanOrEqual(65);
    }
  });

  it('does not keep the daemon’s own calls waiting either', async () => {
    await connected();
    void Promise.all(flood(1000));
    await until(() => requests.length >= 64);
    const call = client.as(theDaemon).random(2);
    await until(() => requests.some(({ bytes }) => bytes === 2));
    for (let n = 0; n < 65; n++) await answerOne();
    expect((await call).reveal().length).toBe(2);
  });

  it('leaves others their room while no host is there, and the daemon its own', async () => {
    const calls = flood(300);
    expect(await calls[299]).toEqual(coded('ThrottlingException'));
    const others = [client.as(other).random(2), client.as(theDaemon).random(3)];
    client.ready();
    await until(() => [2, 3].every((n) => requests.some(({ bytes }) => bytes === n)));
    while (requests.length > 0) await answerOne();
    expect((await Promise.all(others)).map((random) => random.reveal().length)).toEqual([2, 3]);
  });

  it('has them all answered, in their order', async () => {
    client.ready();
    const order: number[] = [];
    const calls = Array.from({ length: 200 }, (_, n) =>
      client
        .as(busy)
        .random(1)
        .then(() => order.push(n)),
    );
    await until(() => requests.length > 0);
    for (let n = 0; n < 200; n++) await answerOne();
    await Promise.all(calls);
    expect(order).toEqual(Array.from({ length: 200 }, (_, n) => n));
    expect(client.state('using').waiting).toBe(0);
  });
});

describe('calls that wait for their turn', () => {
  it('past their deadline are never sent', async () => {
    await client.close();
    connect({ deadlineMs: 100 });
    client.ready();
    const outcomes = await Promise.all(flood(100));
    expect(outcomes).toEqual(outcomes.map(() => coded('DependencyTimeoutException')));
    expect(client.state('using').waiting).toBe(0);
    const sent = requests.length;
    for (let n = 0; n < sent; n++) await answerOne();
    expect(requests).toEqual([]);
    expect(sent).toBe(64);
  });

  it('outlive the host, which fails what it had alone', async () => {
    await connected();
    const calls = flood(100);
    await until(() => requests.length >= 64);
    client.down();
    expect(await Promise.all(calls.slice(0, 64))).toEqual(
      Array.from({ length: 64 }, () => coded('KMSInternalException')),
    );
    expect(client.state('using').waiting).toBe(36);
    requests = [];
    sockets = [];
    client.ready();
    await until(() => requests.length >= 36);
    while (requests.length > 0) await answerOne();
    expect((await Promise.all(calls.slice(64))).length).toBe(36);
  });

  it.each([
    ['when no host will come', () => client.down(true)],
    ['when the client is closed', () => void client.close()],
  ])('all fail %s', async (_when, ends) => {
    await connected();
    const calls = flood(100);
    await until(() => requests.length >= 64);
    ends();
    expect(await Promise.all(calls)).toEqual(calls.map(() => coded('KMSInternalException')));
    expect(client.state('using').waiting).toBe(0);
  });

  it('are not settled by an answer to a request that the host never got', async () => {
    client.ready();
    const calls = flood(65);
    await until(() => requests.length >= 64);
    const mine = requests;
    requests = [{ id: 64, bytes: 1 }];
    await answerOne();
    expect(client.state('using').waiting).toBe(1);
    requests = mine;
    while (requests.length > 0) await answerOne();
    expect((await Promise.all(calls)).every((outcome) => outcome instanceof Secret)).toBe(true);
  });
});
