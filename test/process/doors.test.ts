// The doors of one server, in this process: its time limits hold and its drain is orderly whichever way a connection came in.
import { systemClock } from '../../src/kernel/clock.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { DrainableServer } from '../../src/kernel/drainable-server.js';
import { BoundAddresses } from '../../src/process/endpoint.js';
import { type HeldSocket, holdPath, holdPort } from '../../src/process/held-socket.js';
import { createLog } from '../../src/process/log.js';
import { TlsDoor } from '../../src/process/tls-door.js';
import { makePair } from '../support/certificate.js';

const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-doors-'));
const path = join(folder, 'socket');
const tls = { certificate: join(folder, 'one.crt'), key: join(folder, 'one.key') };
const held: HeldSocket[] = [];
const dropped: string[] = [];
let server: DrainableServer;
let release: () => void;

beforeAll(() => {
  makePair(folder, 'one', 1);
  chmodSync(tls.key, 0o600);
});
afterAll(() => rmSync(folder, { recursive: true }));

beforeEach(async () => {
  const limits = { headersTimeout: 100, requestTimeout: 200, connectionsCheckingInterval: 50 };
  server = new DrainableServer(limits, systemTimers);
  server.on('request', (request, response) => {
    server.begin(request, response);
    release = (): void => {
      response.end('answered');
      server.end(request, response);
    };
  });
  dropped.splice(0);
  held.push(await holdPort('127.0.0.1', 0, 'none'), await holdPath(path, 0o600, () => undefined));
  const [port, file] = held;
  const of = { setting: { serve: 'none', dev: 'none' }, firstGatewayOnly: false };
  const addresses = new BoundAddresses(
    [
      { ...of, name: 'port', at: { host: '127.0.0.1', port: 0 }, tls },
      { ...of, name: 'file', at: { path, mode: 0o600 }, tls: undefined },
    ],
    new Map([
      ['port', port!.handle],
      ['file', file!.handle],
    ]),
    systemClock,
    createLog('test', 'text', 'error'),
  );
  const handshakes = { limits: { all: 4, ofSource: 3 }, timeoutMs: 10_000 };
  for (const name of ['port', 'file'])
    await addresses.open(server, name, { ...handshakes, dropped: (reason) => dropped.push(reason) });
});
afterEach(async () => {
  await server.drain();
  // The server has closed the handles, which it has in this process without a copy.
  held.splice(0);
});

const place = (): { host: string; port: number } => ({ host: '127.0.0.1', port: held[0]?.port ?? 0 });
const ways = { TLS: () => connectTls({ ...place(), rejectUnauthorized: false }), 'a UNIX socket': () => connect(path) };

async function said(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.on('error', () => undefined);
  await once(socket, 'close');
  return text;
}

it.each(Object.entries(ways))('%s: a request that does not come to its end is timed out', async (_way, open) => {
  const socket = open();
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nX-More');
  expect(await said(socket)).toMatch(/^HTTP\/1\.1 408 /);
});

it.each(Object.entries(ways))(
  '%s: a drain answers what is in flight and waits for nothing else',
  async (_way, open) => {
    const idle = open();
    const handshake = connect(place());
    const calling = open();
    const answer = said(calling);
    const gone = Promise.all([said(idle), said(handshake)]);
    await Promise.all([once(handshake, 'connect'), once(idle, 'connect')]);
    calling.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
    await once(server, 'request');
    const drained = server.drain();
    await gone;
    release();
    expect(await answer).toMatch(/answered$/);
    await drained;
  },
);

it('TLS: a handshake too many ends the oldest of its address, and is told', async () => {
  const clients = Array.from({ length: 5 }, () => connect(place()));
  await Promise.all([said(clients[0]!), said(clients[1]!)]);
  expect(dropped).toEqual(['too-many-handshakes', 'too-many-handshakes']);
  // Whose handshake is done holds no place, and takes none that is given back.
  const done = connectTls({ ...place(), rejectUnauthorized: false });
  const oldest = said(clients[2]!);
  await Promise.all([once(done, 'secureConnect'), oldest]);
  clients.push(connect(place()));
  await once(clients[5]!, 'connect');
  const later = connectTls({ ...place(), rejectUnauthorized: false });
  await Promise.all([once(later, 'secureConnect'), said(clients[3]!)]);
  expect(dropped).toHaveLength(4);
  for (const socket of [...clients, done, later]) socket.destroy();
});

it('TLS: a handshake that is not done in time is told as such', async () => {
  const pair = { cert: readFileSync(tls.certificate, 'utf8'), key: readFileSync(tls.key, 'utf8') };
  const door = new TlsDoor(pair, {
    limits: { all: 4, ofSource: 3 },
    timeoutMs: 20,
    dropped: (reason) => dropped.push(reason),
  });
  door.listen(0, '127.0.0.1');
  await once(door, 'listening');
  await said(connect((door.address() as AddressInfo).port, '127.0.0.1'));
  expect(dropped).toEqual(['no-handshake-in-time']);
  door.close();
});
