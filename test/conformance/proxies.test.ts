// The proxies of docs/proxies.md, configured as that page says: the real ones, with the real SDK through them.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { createServer, type AddressInfo, connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { CreateKeyCommand, DecryptCommand, EncryptCommand, KMSClient, ListKeysCommand } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesOf, parseAnswer, signed } from '../support/raw-http.js';
import { accounts, region } from '../support/line.js';
import { type BareLine, startBareLine } from '../unit/facades/bare-line.js';

const page = readFileSync('docs/proxies.md', 'utf8');
const snippetOf = (language: string): string =>
  new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(page)?.[1] ?? '';
const credentials = { accessKeyId: `AKIA${accounts.first}`, secretAccessKey: `secret-of-${accounts.first}` };

// Debian has them where only root looks.
const env = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` };
const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-proxies-'));
const pem = join(folder, 'kms.pem');
let line: BareLine;
let certificate: string;

beforeAll(async () => {
  line = await startBareLine();
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', [...request, ...names, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  certificate = readFileSync(cert, 'utf8');
  writeFileSync(pem, certificate + readFileSync(key, 'utf8'));
});
afterAll(async () => {
  await line.close();
  rmSync(folder, { recursive: true });
});

/** The page's own lines, with this test's ports and certificate. */
function configured(language: string, listen: RegExp, port: number): string {
  const changed = snippetOf(language)
    .replace(listen, `$1${port}`)
    .replaceAll('/etc/ssl/private/kms.pem', pem)
    .replace('127.0.0.1:4599', line.endpoint.host);
  expect([changed.includes(String(port)), changed.includes(pem), changed.includes(line.endpoint.host)]).toEqual([
    true,
    true,
    true,
  ]);
  return changed;
}

function startNginx(port: number): ChildProcess {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${join(folder, kind)};`,
  );
  const own = `daemon off; master_process off; pid ${join(folder, 'nginx.pid')}; error_log stderr; events {}`;
  const http = configured('nginx', /(listen )443/, port);
  writeFileSync(join(folder, 'nginx.conf'), `${own}\nhttp { access_log off; ${temporary.join(' ')}\n${http} }\n`);
  return spawn('nginx', ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')], { stdio: 'inherit', env });
}

function startHaproxy(port: number): ChildProcess {
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(file, configured('haproxy', /(bind :)443/, port).replace('bind :', 'bind 127.0.0.1:'));
  return spawn('haproxy', ['-db', '-q', '-f', file], { stdio: 'inherit', env });
}

describe.each([
  ['nginx', startNginx],
  ['haproxy', startHaproxy],
])('behind %s', (_name, start) => {
  let proxy: ChildProcess;
  let endpoint: URL;
  let client: KMSClient;
  let connections = 0;
  const count = (): number => (connections += 1);

  beforeAll(async () => {
    const port = await freePort();
    proxy = start(port);
    endpoint = new URL(`https://localhost:${port}`);
    await listening(port, proxy);
    line.server.on('connection', count);
    const requestHandler = { httpsAgent: new Agent({ ca: certificate, keepAlive: true, maxSockets: 1 }) };
    client = new KMSClient({ endpoint: endpoint.href, region, credentials, maxAttempts: 1, requestHandler });
  });
  afterAll(async () => {
    client.destroy();
    line.server.off('connection', count);
    const ended = once(proxy, 'exit');
    proxy.kill('SIGTERM');
    await ended;
  });

  it('the SDK is served, over connections that are kept', async () => {
    const { KeyMetadata } = await client.send(new CreateKeyCommand({ Description: '열쇠는 토큰 안에서 태어난다' }));
    const KeyId = KeyMetadata?.KeyId ?? '';
    for (let n = 0; n < 10; n++) {
      const Plaintext = Buffer.alloc(4096, n);
      const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext }));
      const decrypted = await client.send(new DecryptCommand({ CiphertextBlob }));
      expect(Buffer.from(decrypted.Plaintext ?? [])).toEqual(Plaintext);
    }
    expect(connections).toBeLessThan(5);
  });

  it('a wrong signature is refused in AWS’s words, and the next call is served', async () => {
    const wrong = new KMSClient({
      ...{ endpoint: endpoint.href, region, maxAttempts: 1 },
      credentials: { ...credentials, secretAccessKey: 'guess' },
      requestHandler: { httpsAgent: new Agent({ ca: certificate }) },
    });
    await expect(wrong.send(new ListKeysCommand({}))).rejects.toMatchObject({ name: 'InvalidSignatureException' });
    wrong.destroy();
    expect((await client.send(new ListKeysCommand({}))).Keys).toBeDefined();
  });

  it.each(['/', '//', '/?', 'absolute'])('a target is served as it comes through: %s', async (target) => {
    const request = signed({ endpoint, credentials, region, target: 'TrentService.ListKeys', body: '{}' });
    const path = target === 'absolute' ? endpoint.href : target;
    const answer = parseAnswer(await overTls(bytesOf({ ...request, path })));
    expect([answer.status, answer.text.slice(0, 8)]).toEqual([200, '{"Keys":']);
  });

  function overTls(bytes: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      const socket = connect({
        port: Number(endpoint.port),
        host: 'localhost',
        servername: 'localhost',
        ca: certificate,
      });
      socket.write(bytes);
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.on('error', reject);
      socket.on('close', () => resolve(Buffer.concat(chunks)));
    });
  }
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

async function listening(port: number, proxy: ChildProcess): Promise<void> {
  for (;;) {
    if (proxy.exitCode !== null) throw new Error(`the proxy ended with ${proxy.exitCode}`);
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connectTcp(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
