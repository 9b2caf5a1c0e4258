// The port belongs to the daemon while it runs, whichever of its gateways is away: callers wait, are never refused, and nobody else can
// listen there.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { lives, type Place, placePerTest, until } from './daemon.js';

let place: Place;
placePerTest((made) => (place = made));

const portOf = (url: string | undefined): number => Number(new URL(url ?? '').port);
const endpoint = (): number => portOf(place.devEnv()['AWS_ENDPOINT_URL_KMS']);

/** What the kernel says of the listening socket: connections that were made and that nobody has accepted. */
function waitingOn(port: number): number {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    const [, address, , state, queues] = line.trim().split(/\s+/);
    if (address === local && state === '0A') return parseInt(queues?.split(':')[1] ?? '', 16);
  }
  throw new Error('nobody listens');
}

/** Tries to listen on the port as another user of the machine, where the test may become one, in each way there is. */
function steal(port: number): string {
  const script = `
import socket, sys
for option in (None, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
  for address in ('127.0.0.1', '0.0.0.0'):
    s = socket.socket()
    if option: s.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
      s.bind((address, int(sys.argv[1]))); s.listen(); print('got it')
    except OSError as e: print(e.strerror)
`;
  const other = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const { stdout, stderr } = spawnSync('python3', ['-c', script, String(port)], {
    encoding: 'utf8',
    cwd: '/',
    ...other,
  });
  expect(stderr).toBe('');
  return [...new Set(stdout.trim().split('\n'))].join();
}

/** One request over a connection of its own, without a retry. */
const ask = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  });

it('keeps its port and those who call while its only gateway is dead', async () => {
  const daemon = place.start();
  await place.ready();
  const port = endpoint();
  const admin = portOf(place.devEnv()['HSM_BRIDGE_ADMIN_URL']);
  place.turn('deaf-gateway');
  process.kill(place.starts('gateway')[0]!.pid, 'SIGKILL');
  await until(() => place.starts('gateway').every(({ pid }) => !lives(pid)));
  const answers = [ask(port), ask(port), ask(port)];
  await until(() => waitingOn(port) === 3);
  expect(steal(port)).toBe('Address already in use');
  expect(steal(admin)).toBe('Address already in use');
  // Successors that cannot listen are an outage, and no end.
  await until(() => daemon.errors().split('gateway 0: cannot listen').length > 3);
  // None but a gateway takes them.
  expect(waitingOn(port)).toBe(3);
  place.turn('deaf-gateway', false);
  for (const answer of await Promise.all(answers)) expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(await daemon.stop()).toBe(0);
  place.expectNothingLeft();
});

it('keeps its port through its drain; who calls meanwhile waits, and is reset', async () => {
  const daemon = place.start();
  await place.ready();
  const port = endpoint();
  const admin = portOf(place.devEnv()['HSM_BRIDGE_ADMIN_URL']);
  const slow = place.ask('/slow');
  await until(() => place.events().some(({ serving }) => serving === true));
  const ended = daemon.stop();
  await until(() => place.events().some(({ role, heard }) => role === 'gateway' && heard?.type === 'stop'));
  const late = ask(port).catch((error: unknown) => (error as NodeJS.ErrnoException).code);
  await until(() => waitingOn(port) === 1);
  expect(steal(port)).toBe('Address already in use');
  expect(steal(admin)).toBe('Address already in use');
  place.turn('release');
  expect(await slow).toBe('drained');
  expect(await late).toBe('ECONNRESET');
  expect(await ended).toBe(0);
  place.expectNothingLeft();
});

it('refuses nobody while its only gateway is killed again and again', async () => {
  const daemon = place.start();
  await place.ready();
  const port = endpoint();
  const refused: string[] = [];
  const calling = { value: true };
  const attempt = (): Promise<string> =>
    ask(port).catch((error: unknown) => {
      refused.push((error as NodeJS.ErrnoException).code ?? '');
      return '';
    });
  const caller = (async () => {
    while (calling.value) await attempt();
  })();
  for (let kills = 1; kills <= 5; kills += 1) {
    await until(
      () =>
        place.events().filter(({ role, heard }) => role === 'gateway' && heard?.type === 'configure').length === kills,
    );
    process.kill(place.starts('gateway').at(-1)!.pid, 'SIGKILL');
  }
  await until(async () => (await attempt()).startsWith('HTTP/1.1 200'));
  calling.value = false;
  await caller;
  // A connection that a dying gateway had accepted is reset.
  expect(refused.filter((code) => code !== 'ECONNRESET')).toEqual([]);
  expect(await daemon.stop()).toBe(0);
});
