// The admin port over real HTTP: what monitors read, and nothing a caller may do to it.
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import type { Server } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAdminServer, type Readiness } from '../../src/facades/admin/server.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { createMetrics } from '../../src/process/metrics.js';

const metrics = createMetrics();
let readiness: Readiness;
let metricsFail = false;
let server: Server;
let base: string;

beforeAll(async () => {
  const figures = (): Promise<string> => (metricsFail ? Promise.reject(new Error('secret detail')) : metrics.text());
  server = createAdminServer({ ready: () => readiness, metrics: figures }, systemTimers);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
});

describe('the admin port', () => {
  it('tells live from ready', async () => {
    readiness = {
      ready: false,
      checks: { audit: { ok: true }, 'token us-east-1': { ok: false, detail: 'restarting' } },
    };
    expect((await fetch(`${base}/health/live`)).status).toBe(200);
    const waiting = await fetch(`${base}/health/ready`);
    expect(waiting.status).toBe(503);
    expect(await waiting.json()).toEqual(readiness);
    readiness = { ready: true, checks: { audit: { ok: true } } };
    const ready = await fetch(`${base}/health/ready`);
    expect(ready.status).toBe(200);
    expect(ready.headers.get('cache-control')).toBe('no-store');
    expect(ready.headers.get('x-powered-by')).toBe(null);
    expect((await fetch(`${base}/health/ready`, { method: 'HEAD' })).status).toBe(200);
  });

  it('answers a monitor while somebody holds as many connections open as there may be, and holds no more itself', async () => {
    const { port } = server.address() as AddressInfo;
    let closed = 0;
    const idle = Array.from({ length: 100 }, () => {
      const socket = connect(port, '127.0.0.1', () => socket.write('GET /health/live HTTP/1.1\r\nX: '));
      return socket.on('error', () => undefined).on('close', () => (closed += 1));
    });
    await expect.poll(() => closed).toBe(36);
    const monitor = connect(port, '127.0.0.1', () =>
      monitor.write('GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'),
    );
    const [answer] = (await once(monitor, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /);
    idle.forEach((socket) => socket.destroy());
  });

  it('shows the figures in the text format of Prometheus', async () => {
    metrics.requestStarted();
    metrics.requestEnded('Encrypt', 'OK');
    metrics.requestStarted();
    metrics.requestEnded('Encrypt', 'OK');
    metrics.requestStarted();
    metrics.auditWritable(true);
    metrics.tokenUp({ region: 'us-east-1', keyStore: undefined }, true);
    metrics.tokenUp({ region: 'us-east-1', keyStore: 'archive' }, true);
    metrics.tokenUp({ region: 'eu-west-1', keyStore: undefined }, false);
    metrics.integrityFailures(2);
    metrics.connections(5, 2);
    metrics.connectionDropped('too-many-unproven');
    const response = await fetch(`${base}/metrics`);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const lines = (await response.text()).split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        'hsm_bridge_requests_total{operation="Encrypt",code="OK"} 2',
        'hsm_bridge_requests_in_flight 1',
        'hsm_bridge_audit_writable 1',
        'hsm_bridge_token_up{region="us-east-1"} 1',
        'hsm_bridge_token_up{region="us-east-1",key_store="archive"} 1',
        'hsm_bridge_token_up{region="eu-west-1"} 0',
        'hsm_bridge_integrity_failures 2',
        'hsm_bridge_connections{state="proven"} 3',
        'hsm_bridge_connections{state="unproven"} 2',
        'hsm_bridge_connections_dropped_total{reason="too-many-unproven"} 1',
      ]),
    );
    expect(lines.some((line) => /^process_resident_memory_bytes \d+/.test(line))).toBe(true);
    expect(lines.some((line) => /^process_cpu_seconds_total /.test(line))).toBe(true);
  });

  it('takes no writes and no bodies', async () => {
    expect((await fetch(`${base}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
    expect((await fetch(`${base}/health/live`, { method: 'DELETE' })).status).toBe(405);
    const answer = await raw('GET /health/live HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toMatch(/connection: close/i);
    expect(await raw(`GET /health/live HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(9_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 /,
    );
  });

  it('answers to the names of this machine alone', async () => {
    const { port } = new URL(base);
    const statusFor = async (target: string, host: string): Promise<string> => {
      const answer = await raw(`GET ${target} HTTP/1.1\r\n${host}connection: close\r\n\r\n`);
      expect(answer).not.toMatch(/access-control/i);
      return answer.slice(9, 12);
    };
    const own = ['127.0.0.1', `127.0.0.1:${port}`, 'localhost', `LocalHost:${port}`, '[::1]', `[::1]:${port}`];
    for (const host of own) expect(await statusFor('/health/live', `Host: ${host}\r\n`), host).toBe('200');
    // A page of evil.example whose name is made to mean 127.0.0.1 once it has loaded.
    const others = [
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1.evil.example',
      'localhost:1@evil',
      '10.0.0.1',
      '',
    ];
    for (const host of others) expect(await statusFor('/metrics', `Host: ${host}\r\n`), host).toBe('421');
    expect(await statusFor('http://evil.example/metrics', 'Host: localhost\r\n')).toBe('421');
    expect(await raw('GET /metrics HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 421 /);
  });

  it('shows no stack and no detail of a failure', async () => {
    metricsFail = true;
    const response = await fetch(`${base}/metrics`);
    metricsFail = false;
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({ message: 'internal error' });
    const bad = await fetch(`${base}/%E0%A4%A`);
    expect(await bad.text()).not.toMatch(/ at |node_modules/);
    expect((await fetch(`${base}/nothing`)).status).toBe(404);
  });
});

/** Sends these bytes and reads until the server closes. */
async function raw(request: string): Promise<string> {
  const socket = connect(Number(new URL(base).port), '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(request);
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}
