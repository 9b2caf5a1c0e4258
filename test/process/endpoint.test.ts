// The endpoint behind TLS and as a UNIX socket, on a real daemon: the AWS SDK and CLI through both, a certificate that is replaced, and what
// does not speak TLS.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { CreateKeyCommand, EncryptCommand, ListKeysCommand } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aws, TestDaemon, until } from '../support/daemon.js';
import { makePair } from '../support/certificate.js';
import { auditLines } from '../support/inside.js';

const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-endpoint-'));
const certificate = join(folder, 'certificate.pem');
const key = join(folder, 'key.pem');
const path = join(folder, 'bridge.sock');
const daemon = new TestDaemon();

function install(certificateOf: string, keyOf = certificateOf): void {
  copyFileSync(join(folder, `${certificateOf}.crt`), certificate);
  copyFileSync(join(folder, `${keyOf}.key`), key);
  chmodSync(key, 0o600);
}

const ca = (): string => readFileSync(certificate, 'utf8');
const place = (): { host: string; port: number } => ({ host: '127.0.0.1', port: Number(daemon.endpoint.port) });

/** Resolves when the handshake is done. */
const handshake = (options: ConnectionOptions = {}): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ ...place(), rejectUnauthorized: false, ...options }, () => resolve(socket));
    socket.once('error', reject);
  });

async function serialNow(): Promise<number> {
  const socket = await handshake();
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return parseInt(serialNumber, 16);
}

/** `operation from source`, of every record. */
const recorded = (): string[] =>
  auditLines(daemon.home).map(({ record }) => `${record.eventName} from ${record.sourceIPAddress}`);

beforeAll(async () => {
  makePair(folder, 'first', 1001);
  makePair(folder, 'second', 1002);
  install('first');
  await daemon.start({
    env: { HSM_BRIDGE_TLS_CERTIFICATE: certificate, HSM_BRIDGE_TLS_KEY: key, HSM_BRIDGE_SOCKET: path },
  });
});
afterAll(async () => {
  await daemon.clean();
  // Its file goes with the daemon.
  const left = existsSync(path);
  rmSync(folder, { recursive: true });
  expect(left).toBe(false);
});

describe('TLS', () => {
  it('serves the SDK, and the CLI with nothing but dev.env', async () => {
    expect(daemon.endpoint.protocol).toBe('https:');
    expect(daemon.env['AWS_CA_BUNDLE']).toBe(certificate);
    const client = daemon.client('us-east-1', 'default', {
      requestHandler: { httpsAgent: new HttpsAgent({ ca: ca() }) },
    });
    const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
    await client.send(new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from('text') }));
    const listed = await aws(daemon.userEnvironment(), 'kms', 'list-keys');
    expect(JSON.stringify(listed)).toContain(KeyMetadata?.KeyId);
    expect(recorded()).toContain('Encrypt from 127.0.0.1');
  });

  it('speaks no version before 1.2, nothing without forward secrecy, and renegotiates nothing', async () => {
    await expect(
      handshake({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' }),
    ).rejects.toThrow();
    await expect(handshake({ maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' })).rejects.toThrow();
    const socket = await handshake({ maxVersion: 'TLSv1.2' });
    expect(socket.getProtocol()).toBe('TLSv1.2');
    expect(socket.getTLSTicket()).toBe(undefined);
    const refused = await new Promise<Error | null>((resolve) => {
      socket.on('error', resolve);
      socket.renegotiate({}, (error) => resolve(error));
    });
    expect(refused).toBeInstanceOf(Error);
    socket.destroy();
  });

  it('keeps what it has when the new files do not fit, and serves the new pair when they do; neither ends it', async () => {
    const before = await handshake();
    install('second', 'first');
    daemon.run.child.kill('SIGHUP');
    await until(
      () => daemon.said().includes('the old certificate is served on'),
      () => daemon.said(),
    );
    expect(await serialNow()).toBe(1001);
    install('second');
    chmodSync(key, 0o640);
    daemon.run.child.kill('SIGHUP');
    await until(
      () => daemon.said().includes(`others may read the TLS key ${key}`),
      () => daemon.said(),
    );
    expect(await serialNow()).toBe(1001);
    chmodSync(key, 0o600);
    daemon.run.child.kill('SIGHUP');
    await until(
      async () => (await serialNow()) === 1002,
      () => daemon.said(),
    );
    // Whoever was connected still is.
    const answer = new Promise<string>((resolve) => before.once('data', (chunk: Buffer) => resolve(chunk.toString())));
    before.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
    expect(await answer).toMatch(/^HTTP\/1\.1 400 /);
    before.destroy();
    expect(daemon.run.code).toBe(undefined);
    expect(daemon.said()).not.toContain('PRIVATE KEY');
  });

  it('records nothing of a connection over which nothing was asked, and answers nobody in clear', async () => {
    const records = recorded().length;
    (await handshake()).destroy();
    const said = await new Promise<string>((resolve) => {
      const socket = connectPlain(place());
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(text));
      socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
    });
    expect(said).not.toContain('HTTP/1.1');
    expect(recorded()).toHaveLength(records);
  });

  it('bounds handshakes of an address that do not end, at the cost of the oldest, and tells of it', async () => {
    const closed: number[] = [];
    const sockets = Array.from({ length: 772 }, (_, index) => {
      const socket = connectPlain(place());
      socket.on('error', () => undefined);
      socket.on('close', () => closed.push(index));
      return socket;
    });
    await until(
      () => closed.length >= 4,
      () => `${closed.length} closed`,
    );
    (await handshake()).destroy();
    expect(closed.length).toBeLessThan(10);
    const told = async (path: string): Promise<string> =>
      (await fetch(new URL(path, daemon.env['HSM_BRIDGE_ADMIN_URL']))).text();
    expect(await told('/metrics')).toMatch(/connections_dropped_total\{reason="too-many-handshakes"\} [5-9]\n/);
    expect(await told('/health/ready')).toMatch(/"connections":\{"ok":false,"detail":"[^"]*too-many-handshakes [5-9]/);
    for (const socket of sockets) socket.destroy();
  });
});

it('a gateway that starts again and finds no pair that fits is an outage, and no end', async () => {
  install('first', 'second');
  daemon.kill('gateway');
  await until(
    () => daemon.said().split('cannot be used with the certificate').length > 3,
    () => daemon.said(),
  );
  const waiting = handshake();
  install('second');
  (await waiting).destroy();
  expect(daemon.run.code).toBe(undefined);
});

describe('the UNIX socket', () => {
  it('serves the SDK in clear, under its mode, and the audit says so', async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600);
    // The endpoint gives the Host header.
    const client = daemon.client('us-east-1', 'default', {
      endpoint: 'http://localhost',
      requestHandler: { httpAgent: new HttpAgent({ socketPath: path } as object) },
    });
    expect((await client.send(new ListKeysCommand({}))).Keys).not.toHaveLength(0);
    expect(recorded()).toContain('ListKeys from unix');
  });

  it('answers what is not HTTP as on a port', async () => {
    const said = await new Promise<string>((resolve) => {
      const socket = connectPlain(path, () => socket.end('NONSENSE\r\n\r\n'));
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.on('close', () => resolve(text));
    });
    expect(said).toMatch(/^HTTP\/1\.1 400 [^]*not valid HTTP/);
  });

  it('waits, too, while the gateway is dead', async () => {
    daemon.kill('gateway');
    const said = await new Promise<string>((resolve, reject) => {
      const socket = connectPlain(path, () =>
        socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'),
      );
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.on('error', reject);
      socket.on('close', () => resolve(text));
    });
    expect(said).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('a start', () => {
  const refused = async (env: Readonly<Record<string, string>>): Promise<string> => {
    const other = new TestDaemon();
    const run = other.launch({ env });
    expect(await run.ended).toBe(1);
    const lines = run
      .errors()
      .split('\n')
      .filter((line) => line.startsWith('hsm-bridge: '));
    await other.clean();
    expect(lines).toHaveLength(1);
    return lines[0] ?? '';
  };

  it.each([
    [
      'a key that does not fit',
      () => writeFileSync(key, readFileSync(join(folder, 'first.key')), { mode: 0o600 }),
      /key values mismatch/,
    ],
    ['a key that is none', () => writeFileSync(key, 'PIN'), /the TLS key .* cannot be used/],
    ['a key that others may read', () => chmodSync(key, 0o604), /others may read the TLS key/],
    ['no certificate', () => rmSync(certificate), /cannot read the TLS certificate .*ENOENT/],
  ])('stops at %s with one line', async (_what, spoil, line) => {
    install('second');
    spoil();
    expect(await refused({ HSM_BRIDGE_TLS_CERTIFICATE: certificate, HSM_BRIDGE_TLS_KEY: key })).toMatch(line);
  });

  it('takes the place of a dead socket, and of nothing else', async () => {
    expect(await refused({ HSM_BRIDGE_SOCKET: path })).toMatch(/bridge\.sock is in use/);
    const file = join(folder, 'a-file');
    writeFileSync(file, 'mine');
    expect(await refused({ HSM_BRIDGE_SOCKET: file })).toMatch(/a-file is no socket/);
    expect(readFileSync(file, 'utf8')).toBe('mine');
    const open = mkdtempSync(join(folder, 'open-'));
    chmodSync(open, 0o777);
    expect(await refused({ HSM_BRIDGE_SOCKET: join(open, 's') })).toMatch(/others could put a socket of their own/);
    mkdirSync(join(open, 'closed'), { mode: 0o755 });
    expect(await refused({ HSM_BRIDGE_SOCKET: join(open, 'closed/s') })).toMatch(
      /may be changed by every user.*chmod o-w/,
    );
    const dead = join(folder, 'dead.sock');
    const words = ['-c', 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])', dead];
    execFileSync('python3', words);
    expect(statSync(dead).isSocket()).toBe(true);
    const other = await TestDaemon.started({ env: { HSM_BRIDGE_SOCKET: dead, HSM_BRIDGE_SOCKET_MODE: '0660' } });
    expect(statSync(dead).mode & 0o777).toBe(0o660);
    expect(await other.stop()).toBe(0);
    expect(existsSync(dead)).toBe(false);
    await other.clean();
  });
});
