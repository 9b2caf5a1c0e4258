// The host's socket over a token of the test's own: one that is slow with one gateway's requests while another gateway waits.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { anyName, firstUsesPerTurn, nextTurn, NotReadYet } from '../../src/token/host/object-index.js';
import { systemClock } from '../../src/kernel/clock.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { TokenServer } from '../../src/token/host/server.js';

let home: string;
let server: TokenServer;
let sockets: Socket[];

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'hsm-bridge-server-'));
  sockets = [];
  server = new TokenServer({
    clock: systemClock,
    timers: systemTimers,
    socketPath: join(home, 's'),
    perform(id, _op, _payload, out) {
      // As a native call does: nothing else happens in this process meanwhile.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
      out.commit(id, 0, 0);
      return 'answered';
    },
    readIndex: () => [],
    endTurn: () => undefined,
    onLeave: () => undefined,
    onLost: () => undefined,
  });
  await server.listen();
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await server.close(0);
  rmSync(home, { recursive: true });
});

async function gateway(path = join(home, 's')): Promise<{ socket: Socket; heard: () => string }> {
  const socket = connect(path);
  sockets.push(socket);
  let bytes = '';
  socket.on('data', (chunk) => (bytes += chunk.toString('hex')));
  await new Promise((resolve) => socket.once('connect', resolve));
  return { socket, heard: () => bytes };
}

it('tells a gateway whose turn has not come that the host works', async () => {
  const busy = await gateway();
  const waiting = await gateway();
  // Until the server has both.
  await new Promise((resolve) => setTimeout(resolve, 20));
  const request = Buffer.from('00000005' + '00000007' + '01', 'hex');
  busy.socket.write(Buffer.concat([request, request, request]));
  while (busy.heard().length < 54) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(busy.heard()).toBe('000000050000000700'.repeat(3));
  while (waiting.heard().length < 18) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(waiting.heard()).toMatch(/^(000000050000000006)+$/);
});

it('performs a request that waits for the index when its key was read, and others meanwhile', async () => {
  const path = join(home, 'i');
  const slices: string[][] = [];
  const read = new Set<string>();
  const order: string[] = [];
  const indexed = new TokenServer({
    clock: systemClock,
    timers: systemTimers,
    socketPath: path,
    perform(id, _op, payload, out) {
      const key = payload.toString();
      if (key !== 'known' && !read.has(key) && !read.has(anyName)) return new NotReadYet(key);
      order.push(key);
      out.commit(id, 0, 0);
      return 'answered';
    },
    readIndex() {
      const names = slices.shift() ?? [];
      for (const name of names) read.add(name);
      if (names.length > 0) order.push(`slice ${names.join()}`);
      return names;
    },
    endTurn: () => undefined,
    onLeave: () => undefined,
    onLost: () => undefined,
  });
  await indexed.listen();
  const { socket, heard } = await gateway(path);
  const request = (id: number, key: string): Buffer =>
    Buffer.concat([Buffer.from([0, 0, 0, 5 + key.length, 0, 0, 0, id, 5]), Buffer.from(key)]);
  // The slice that follows the start is over.
  await new Promise((resolve) => setTimeout(resolve, 20));
  slices.push(['three'], ['four'], [anyName]);
  socket.write(Buffer.concat([request(1, 'four'), request(2, 'known'), request(3, 'three'), request(4, 'none')]));
  while (heard().length < 4 * 18) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(order).toEqual(['known', 'slice three', 'three', 'slice four', 'four', 'slice ', 'none']);
  const answers = heard().replaceAll('000000050000000006', '');
  expect(answers).toBe([2, 3, 1, 4].map((id) => `000000050000000${id}00`).join(''));
  await indexed.close(0);
});

it('lets others in between keys that are used for the first time', async () => {
  const path = join(home, 'f');
  const order: string[] = [];
  let firstUses = 0;
  const busy = new TokenServer({
    clock: systemClock,
    timers: systemTimers,
    socketPath: path,
    perform(id, _op, payload, out) {
      const key = payload.toString();
      if (key === 'cold' && firstUses >= firstUsesPerTurn) return new NotReadYet(nextTurn);
      if (key === 'cold') firstUses += 1;
      order.push(key);
      out.commit(id, 0, 0);
      return 'answered';
    },
    readIndex: () => [],
    endTurn() {
      firstUses = 0;
      order.push('|');
    },
    onLeave: () => undefined,
    onLost: () => undefined,
  });
  await busy.listen();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const { socket, heard } = await gateway(path);
  const request = (key: string): Buffer =>
    Buffer.concat([Buffer.from([0, 0, 0, 5 + key.length, 0, 0, 0, 1, 5]), Buffer.from(key)]);
  order.length = 0;
  socket.write(Buffer.concat([...Array.from({ length: 64 }, () => request('cold')), request('warm')]));
  while (heard().length < 65 * 18) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(order.join(' ')).toMatch(/^cold cold warm \|( cold cold \|){31}/);
  await busy.close(0);
});
