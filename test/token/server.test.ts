// The host's socket over a token of the test's own: one that is slow with one gateway's requests while another gateway waits.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TokenServer } from '../../src/token/host/server.js';

let home: string;
let server: TokenServer;
let sockets: Socket[];

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'hsm-bridge-server-'));
  sockets = [];
  server = new TokenServer({
    socketPath: join(home, 's'),
    perform(id, _op, _payload, out) {
      // As a native call does: nothing else happens in this process meanwhile.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
      out.commit(id, 0, 0);
      return true;
    },
    onLost: () => undefined,
  });
  await server.listen();
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await server.close(0);
  rmSync(home, { recursive: true });
});

async function gateway(): Promise<{ socket: Socket; heard: () => string }> {
  const socket = connect(join(home, 's'));
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
