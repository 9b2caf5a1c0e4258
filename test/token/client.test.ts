// The client against a server of the test's own, which answers as the format page says, late, in pieces, or not at all.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/kernel/clock.js';
import { connectAccount, type AccountOptions, type AccountToken } from './one-account.js';

const id = Buffer.alloc(16, 1);
const aad = Buffer.alloc(32, 2);
const coded = (code: string): object => expect.objectContaining({ name: 'BridgeError', code }) as object;

let home: string;
let server: Server;
let sockets: Socket[];
let received: Buffer;
let token: AccountToken;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'hsm-bridge-client-'));
  sockets = [];
  received = Buffer.alloc(0);
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => (received = Buffer.concat([received, chunk])));
  });
  await new Promise<void>((resolve) => server.listen(join(home, 's'), resolve));
  token = client();
});

afterEach(async () => {
  await token.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  rmSync(home, { recursive: true });
});

function client(changes: Partial<AccountOptions> = {}): AccountToken {
  return connectAccount({
    socketPath: join(home, 's'),
    deadlineMs: 10_000,
    clock: systemClock,
    onOverrun: () => undefined,
    ...changes,
  });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

function answer(requestId: number, status: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUInt32BE(5 + payload.length);
  head.writeUInt32BE(requestId, 4);
  head.writeUInt8(status, 8);
  return Buffer.concat([head, payload]);
}

describe('a request', () => {
  it('is written as the format page says', async () => {
    token.ready();
    const call = token.encrypt(id, aad, Buffer.from('abc'));
    await until(() => received.length >= 60);
    expect(received.toString('hex')).toBe(`000000380000000005${'01'.repeat(16)}${'02'.repeat(32)}616263`);
    sockets[0]!.write(answer(0, 0, Buffer.from('sealed')));
    expect((await call).toString()).toBe('sealed');
  });

  it('waits for the host, and is not sent when its deadline passed first', async () => {
    await token.close();
    token = client({ deadlineMs: 100 });
    const late = token.random(1);
    await expect(late).rejects.toEqual(coded('DependencyTimeoutException'));
    token.ready();
    const call = token.random(2);
    await until(() => received.length >= 13);
    expect(received.toString('hex')).toBe('0000000900000001' + '0a' + '00000002');
    sockets[0]!.write(answer(1, 0, Buffer.from('xy')));
    expect((await call).toString()).toBe('xy');
  });

  it('made in one turn with others leaves with them', async () => {
    token.ready();
    await until(() => sockets.length === 1);
    const chunks: number[] = [];
    sockets[0]!.on('data', (chunk: Buffer) => chunks.push(chunk.length));
    const calls = Array.from({ length: 60 }, () => token.random(1));
    await until(() => received.length >= 780);
    expect(chunks).toEqual([780]);
    sockets[0]!.write(Buffer.concat(calls.map((_, n) => answer(n, 0, Buffer.alloc(1)))));
    await Promise.all(calls);
  });

  it('beyond the limit is throttled', async () => {
    await token.close();
    token = client({ turns: { roomWhileAway: 4, room: 4 } });
    const calls = [token.random(1), token.random(1)];
    await expect(token.random(1)).rejects.toEqual(coded('ThrottlingException'));
    token.ready();
    await until(() => received.length >= 26);
    sockets[0]!.write(answer(0, 0, Buffer.alloc(1)));
    await calls[0];
    const third = token.random(1);
    sockets[0]!.write(Buffer.concat([answer(1, 0, Buffer.alloc(1)), answer(2, 0, Buffer.alloc(1))]));
    await Promise.all([calls[1], third]);
  });

  it('of another shape than the token’s is an error of its caller, and nothing is sent', async () => {
    token.ready();
    await expect(token.encrypt(Buffer.alloc(15), aad, Buffer.alloc(1))).rejects.toThrow(RangeError);
    await expect(token.decrypt(id, Buffer.alloc(31), Buffer.alloc(1))).rejects.toThrow(RangeError);
    await expect(token.macRow(Buffer.alloc(256 * 1024))).rejects.toThrow(RangeError);
    const call = token.random(1);
    await until(() => received.length >= 13);
    expect(received.length).toBe(13);
    token.down();
    await expect(call).rejects.toEqual(coded('KMSInternalException'));
  });
});

describe('an answer', () => {
  it('may come in any order, byte by byte, and late', async () => {
    token.ready();
    const calls = [token.random(3), token.random(3)];
    await until(() => received.length >= 26);
    const bytes = Buffer.concat([
      answer(7, 0, Buffer.from('???')),
      answer(1, 0, Buffer.from('two')),
      answer(0, 0, Buffer.from('one')),
    ]);
    for (const byte of bytes) {
      sockets[0]!.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await Promise.all(calls)).map(String)).toEqual(['one', 'two']);
  });

  it('that is none for its call ends the connection', async () => {
    token.ready();
    const calls = outcomesOf([token.holds(id), token.random(1)]);
    await until(() => received.length >= 38);
    sockets[0]!.write(answer(0, 0, Buffer.from('maybe')));
    expect(await calls).toEqual([coded('KMSInternalException'), coded('KMSInternalException')]);
  });

  it.each([
    [2, 'KMSInternalException'],
    [3, 'KeyUnavailableException'],
    [4, 'InvalidCiphertextException'],
    [5, 'KMSInternalException'],
    [99, 'KMSInternalException'],
  ])('with status %i is %s', async (status, code) => {
    token.ready();
    const call = token.decrypt(id, aad, Buffer.alloc(40));
    await until(() => received.length >= 97);
    sockets[0]!.write(answer(0, status));
    await expect(call).rejects.toEqual(coded(code));
  });

  it('that is no frame ends the connection', async () => {
    token.ready();
    const call = token.random(1);
    await until(() => received.length >= 13);
    sockets[0]!.write(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await expect(call).rejects.toEqual(coded('KMSInternalException'));
  });
});

describe('the connection', () => {
  it('is made again when the host came back before its end was noticed', async () => {
    token.ready();
    await until(() => sockets.length === 1);
    token.ready();
    sockets[0]!.destroy();
    await until(() => sockets.length === 2);
    const call = token.random(1);
    await until(() => received.length >= 13);
    sockets[1]!.write(answer(0, 0, Buffer.alloc(1)));
    await call;
  });

  it('closed for good fails all that waits and all that comes', async () => {
    const waiting = token.random(1);
    const closing = token.close();
    await expect(waiting).rejects.toEqual(coded('KMSInternalException'));
    await closing;
    await expect(token.random(1)).rejects.toEqual(coded('KMSInternalException'));
    token.ready();
    expect(sockets.length).toBe(0);
  });
});

const outcomesOf = (promises: readonly Promise<unknown>[]): Promise<unknown[]> =>
  Promise.all(promises.map((promise) => promise.catch((error: unknown) => error)));

describe('a host that is away', () => {
  it('for good makes nobody wait', async () => {
    const waiting = token.random(1);
    token.down(true);
    await expect(waiting).rejects.toEqual(coded('KMSInternalException'));
    await expect(token.random(1)).rejects.toEqual(coded('KMSInternalException'));
    token.ready();
    const call = token.random(1);
    await until(() => received.length >= 13);
    sockets[0]!.write(answer(1, 0, Buffer.alloc(1)));
    await call;
  });

  it('has room for some requests, and the others are throttled', async () => {
    await token.close();
    token = client({ turns: { roomWhileAway: 4 } });
    const held = [token.random(1), token.random(1)];
    await expect(token.random(1)).rejects.toEqual(coded('ThrottlingException'));
    token.ready();
    await until(() => received.length >= 26);
    const more = [token.random(1), token.random(1), token.random(1)];
    await until(() => received.length >= 65);
    sockets[0]!.write(Buffer.concat([0, 1, 2, 3, 4].map((n) => answer(n, 0, Buffer.alloc(1)))));
    await Promise.all([...held, ...more]);
  });
});

// Here the test drives the client's time: 1000 ms of deadline, a look every 100 ms.
describe('time', () => {
  let nowMs: number;
  let overruns: number;

  beforeEach(async () => {
    await token.close();
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    nowMs = 5;
    overruns = 0;
    token = client({ deadlineMs: 1000, clock: { monotonicMs: () => nowMs }, onOverrun: () => (overruns += 1) });
    token.ready();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Lets sockets be read and looks be taken. */
  async function turns(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 100) {
      nowMs += 100;
      vi.advanceTimersByTime(100);
      await turns();
    }
  }

  async function say(bytes: Buffer): Promise<void> {
    sockets[0]!.write(bytes);
    await turns();
  }

  it('is up for calls that wait behind others, but a host that goes on answering does not hang', async () => {
    const calls = outcomesOf(Array.from({ length: 10 }, () => token.random(1)));
    await until(() => received.length >= 130);
    for (let n = 0; n < 10; n++) {
      await pass(500);
      await say(answer(n, 0, Buffer.alloc(1)));
    }
    const [first, ...others] = await calls;
    expect(first).toEqual(Buffer.alloc(1));
    expect(others).toEqual(Array.from({ length: 9 }, () => coded('DependencyTimeoutException')));
    expect(overruns).toBe(0);
    await pass(5000);
    expect(overruns).toBe(0);
  });

  it('is up for a host that says nothing for a whole deadline, once', async () => {
    const call = outcomesOf([token.random(1)]);
    await until(() => received.length >= 13);
    await pass(900);
    expect(overruns).toBe(0);
    await pass(300);
    expect(await call).toEqual([coded('DependencyTimeoutException')]);
    expect(overruns).toBe(1);
    await pass(5000);
    expect(overruns).toBe(1);
  });

  it('is not up for a host that says it is busy with another gateway', async () => {
    const call = outcomesOf([token.random(1)]);
    await until(() => received.length >= 13);
    for (let n = 0; n < 10; n++) {
      await pass(500);
      await say(answer(0, 6));
    }
    expect(await call).toEqual([coded('DependencyTimeoutException')]);
    expect(overruns).toBe(0);
  });

  it('does not count against a host that died', async () => {
    const call = outcomesOf([token.random(1)]);
    await until(() => received.length >= 13);
    token.down();
    expect(await call).toEqual([coded('KMSInternalException')]);
    await pass(5000);
    expect(overruns).toBe(0);
  });

  it('in which the machine slept does not count against its host', async () => {
    const call = outcomesOf([token.random(1)]);
    await until(() => received.length >= 13);
    nowMs += 3_600_000;
    await pass(100);
    expect(await call).toEqual([coded('DependencyTimeoutException')]);
    await say(answer(0, 0, Buffer.alloc(1)));
    await pass(1500);
    expect(overruns).toBe(0);
  });

  it('does not let a host fall ever further behind: what is late still takes room', async () => {
    await token.close();
    token = client({ deadlineMs: 1000, clock: { monotonicMs: () => nowMs }, turns: { room: 4 } });
    token.ready();
    await until(() => sockets.length === 2);
    await turns();
    const late = outcomesOf([token.random(1), token.random(1)]);
    await until(() => received.length >= 26);
    await pass(1000);
    expect(await late).toEqual([coded('DependencyTimeoutException'), coded('DependencyTimeoutException')]);
    await expect(token.random(1)).rejects.toEqual(coded('ThrottlingException'));
    sockets[1]!.write(answer(0, 0, Buffer.alloc(1)));
    await turns();
    const call = token.random(1);
    await until(() => received.length >= 39);
    sockets[1]!.write(answer(2, 0, Buffer.alloc(1)));
    await call;
  });
});

describe('the wall clock', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('may be set while a call is under way', async () => {
    await token.close();
    let overruns = 0;
    token = client({ onOverrun: () => (overruns += 1) });
    token.ready();
    vi.useFakeTimers({ toFake: ['Date'] });
    const call = token.random(1);
    await until(() => received.length >= 13);
    vi.setSystemTime(Date.now() + 86_400_000);
    // More than one look.
    await new Promise((resolve) => setTimeout(resolve, 250));
    sockets[0]!.write(answer(0, 0, Buffer.alloc(1)));
    await call;
    expect(overruns).toBe(0);
    await token.close();
    token = client({ deadlineMs: 100 });
    const late = token.random(1);
    vi.setSystemTime(0);
    await expect(late).rejects.toEqual(coded('DependencyTimeoutException'));
  });
});
