// Calls in flight on a token that takes many at once: a real daemon over its wire, on SoftHSM behind the interposer, which adds 2 ms to each Encrypt and
// each GenerateMac (half to the Init, half to the call). What counts are the ratios to 16 ÷ 2 ms, and CPU for each operation.
//   scripts/setup --bench && node test/bench/in-flight.mjs [--seconds 8] [--warm 10] [--connections 64] [--markdown FILE, whose section about them it writes]
// Four daemons, one after the other: one call in flight, for its memory; sixteen; sixteen, one of which hangs; and SoftHSM's own profile while keys are
// made, each of which takes as long as an RSA-4096 pair, because the interposer makes one, too.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import aws4 from 'aws4';
import ts from 'typescript';
import { wrkScript } from './presign.mjs';
import { cpuMs, family, residentMb } from './processes.mjs';
import { withSection } from './report.mjs';
import { systemClock } from '../../dist/kernel/clock.js';
import { Secret } from '../../dist/kernel/secret.js';
import { systemTimers } from '../../dist/kernel/timers.js';
import { connectToken } from '../../dist/token/client.js';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '8' },
    warm: { type: 'string', default: '10' },
    connections: { type: 'string', default: '64' },
    markdown: { type: 'string' },
  },
});
const [seconds, warmSeconds] = [Number(options.seconds), Number(options.warm)];
const inFlight = 16;
const delayMs = 2;
const ideal = (inFlight * 1000) / delayMs;
/** What is beyond an account's half of the window, 32 places, waits in the gateway. */
const connections = Number(options.connections);
const keysMade = 20;
const region = 'us-east-1';
const deadlineMs = 3000;
const root = join(import.meta.dirname, '../..');
const home = mkdtempSync(join(tmpdir(), 'hsm-bridge-in-flight-'));
const tokens = join(home, 'tokens', region);
const softHsm = ['/usr/lib/softhsm/libsofthsm2.so', join(root, '.setup/softhsm/usr/lib/softhsm/libsofthsm2.so')].find(
  (path) => existsSync(path),
);

/** The tests' own, which is TypeScript. */
async function loadInterposer() {
  process.chdir(root);
  const source = readFileSync('test/support/interposer/interposer.ts', 'utf8');
  const { outputText } = ts.transpileModule(source, { compilerOptions: { module: 'esnext', target: 'es2022' } });
  return import(`data:text/javascript;base64,${Buffer.from(outputText).toString('base64')}`);
}
const { Interposer } = await loadInterposer();
const interposer = new Interposer(home, softHsm);
const slow = ['C_EncryptInit', 'C_Encrypt', 'C_SignInit', 'C_Sign'];
const delay = (ms) => slow.forEach((name) => interposer.delay(name, ms / 2));

async function until(condition, what) {
  for (const end = performance.now() + 60_000; !condition(); await sleep(10))
    if (performance.now() > end) throw new Error(`${what}: not in a minute`);
}

async function run(words, environment, isReady) {
  const env = { ...process.env, ...environment };
  const stdio = ['ignore', 'ignore', 'pipe'];
  const daemon = spawn(process.execPath, [join(root, 'dist/main.js'), ...words], { env, stdio, cwd: home });
  let said = '';
  daemon.stderr.on('data', (chunk) => (said += String(chunk)));
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  await until(() => daemon.exitCode !== null || isReady(said), 'the daemon is ready');
  if (daemon.exitCode !== null) throw new Error(`the daemon ended:\n${said}`);
  const stop = async () => {
    daemon.kill('SIGTERM');
    await ended;
  };
  return { pid: daemon.pid, said: () => said, stop };
}

/** A token and a store, as development mode makes them. */
async function makeHome() {
  const environment = { HSM_BRIDGE_HOME: home, HSM_BRIDGE_PORT: '0', HSM_BRIDGE_ADMIN_PORT: '0' };
  const daemon = await run(['dev'], environment, () => existsSync(join(home, 'dev.env')));
  await daemon.stop();
}

/** `callsInFlight`: undefined for what SoftHSM's profile says. */
async function serve(callsInFlight) {
  const profile = JSON.parse(readFileSync(join(root, 'native-config/softhsm2.json'), 'utf8'));
  if (callsInFlight !== undefined) profile.callsInFlight = { value: callsInFlight, because: 'the bench says so' };
  writeFileSync(join(home, 'profile.json'), JSON.stringify(profile));
  const settings = {
    home,
    listen: { port: 0 },
    admin: { port: 0 },
    regions: {
      [region]: {
        profile: join(home, 'profile.json'),
        modulePath: interposer.modulePath,
        label: labelOf(),
        pinFile: join(tokens, 'user.pin'),
        environment: { SOFTHSM2_CONF: join(tokens, 'softhsm2.conf') },
      },
    },
    deadlines: { tokenMs: deadlineMs },
  };
  // YAML, because it is JSON.
  writeFileSync(join(home, 'config.yaml'), JSON.stringify(settings));
  const daemon = await run(['serve', '--config', join(home, 'config.yaml')], {}, (said) => said.includes('"ready"'));
  const ready = daemon
    .said()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
    .find(({ message }) => message === 'ready');
  return { ...daemon, port: ready.port, adminPort: ready.adminPort, processes: family(daemon.pid) };
}

const labelOf = () => `hsm-bridge ${region}`;

const credentials = () => {
  const text = readFileSync(join(home, 'credentials'), 'utf8');
  const value = (name) => new RegExp(`^${name} = (.+)$`, 'm').exec(text)[1];
  return { accessKeyId: value('aws_access_key_id'), secretAccessKey: value('aws_secret_access_key') };
};

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

function ask(settings, body) {
  return new Promise((resolve, reject) => {
    const sent = request({ ...settings, agent }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString() }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

function kms({ port }, operation, input) {
  const body = JSON.stringify(input);
  const headers = { 'Content-Type': 'application/x-amz-json-1.1', 'X-Amz-Target': `TrentService.${operation}` };
  const signed = aws4.sign(
    { host: `127.0.0.1:${port}`, method: 'POST', path: '/', service: 'kms', region, body, headers },
    credentials(),
  );
  return ask({ host: '127.0.0.1', port, method: 'POST', path: '/', headers: signed.headers }, body);
}

async function createKey(daemon, input = {}) {
  const { status, text } = await kms(daemon, 'CreateKey', input);
  if (status !== 200) throw new Error(text);
  return JSON.parse(text).KeyMetadata.KeyId;
}

const macInput = (KeyId, Message) => ({ KeyId, Message, MacAlgorithm: 'HMAC_SHA_256' });

/** One run of wrk beside other work of this process. */
function wrk(daemon, keyId, { operation = 'Encrypt', inputOf, duration = seconds, count = connections } = {}) {
  const script = wrkScript({
    ...daemon,
    region,
    credentials: credentials(),
    keyId,
    count: 2000,
    pauseMs: 0,
    operation,
    inputOf,
  });
  const file = join(home, `${operation}.lua`);
  writeFileSync(file, script);
  const words = ['-t1', `-c${count}`, `-d${duration}s`, '--latency', '-s', file, `http://127.0.0.1:${daemon.port}/`];
  const child = spawn('wrk', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  return new Promise((resolve, reject) =>
    child.once('exit', () => {
      if (/Non-2xx|Socket errors/.test(output)) reject(new Error(`the load was not served:\n${output}`));
      const ms = (percent) => {
        const [, value, unit] = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(output);
        return Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit];
      };
      const requests = Number(/(\d+) requests in/.exec(output)[1]);
      resolve({ perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)[1]), requests, p50: ms(50), p99: ms(99) });
    }),
  );
}

/** Latencies of one call after the other, until `over` is settled: { p50, p99 } in ms. */
async function latencies(call, over) {
  const took = [];
  let isOver = false;
  void over.finally(() => (isOver = true)).catch(() => undefined);
  while (!isOver) {
    const begunMs = performance.now();
    const { status, text } = await call();
    took.push(performance.now() - begunMs);
    if (status !== 200) throw new Error(text);
    await sleep(5);
  }
  took.sort((a, b) => a - b);
  const at = (share) => took[Math.min(took.length - 1, Math.floor(took.length * share))];
  return { p50: at(0.5), p99: at(0.99) };
}

const memoryOf = ({ processes }) => residentMb(processes.find(({ role }) => role === 'token-host').pid);

async function underLoad(daemon, keyId, load) {
  await wrk(daemon, keyId, { ...load, duration: warmSeconds });
  const before = daemon.processes.map((each) => cpuMs([each]));
  const running = wrk(daemon, keyId, load);
  const [result, describeKey, health] = await Promise.all([
    running,
    latencies(() => kms(daemon, 'DescribeKey', { KeyId: keyId }), running),
    latencies(() => ask({ host: '127.0.0.1', port: daemon.adminPort, path: '/health/ready' }), running),
  ]);
  const cpuUs = daemon.processes.map((each, n) => [each.role, ((cpuMs([each]) - before[n]) * 1000) / result.requests]);
  return { ...result, describeKey, health, cpuUs: Object.fromEntries(cpuUs), memory: memoryOf(daemon) };
}

/** Without HTTP, line and audit: a gateway's client and the host, as many calls at once as an account that is alone has at the host. */
async function tokenLayer(daemon) {
  const socketPath = join(home, 'run', `${region}.sock`);
  const ports = { clock: systemClock, timers: systemTimers, onOverrun: () => undefined };
  const client = connectToken({ socketPath, deadlineMs, ...ports });
  client.ready(inFlight);
  const token = client.as('000000000000');
  const [ckaId, aad, plaintext] = [randomBytes(16), Buffer.alloc(32), Buffer.alloc(32)];
  await token.generateKey(ckaId, 'AES_256');
  const host = daemon.processes.filter(({ role }) => role === 'token-host');
  const load = async (loadSeconds) => {
    const [endMs, before, own] = [performance.now() + loadSeconds * 1000, cpuMs(host), process.cpuUsage()];
    let requests = 0;
    const caller = async () => {
      for (; performance.now() < endMs; requests += 1)
        await token.encrypt(ckaId, aad, new Secret(Buffer.from(plaintext)));
    };
    await Promise.all(Array.from({ length: 2 * inFlight }, caller));
    const { user, system } = process.cpuUsage(own);
    const hostUs = ((cpuMs(host) - before) * 1000) / requests;
    return { perSecond: requests / loadSeconds, hostUs, clientUs: (user + system) / requests };
  };
  await load(warmSeconds / 2);
  const result = await load(seconds);
  await client.close();
  return result;
}

function rawThreads() {
  const words = [interposer.modulePath, join(tokens, 'user.pin'), String(inFlight), String(Math.min(seconds, 4))];
  const env = { ...process.env, SOFTHSM2_CONF: join(tokens, 'softhsm2.conf') };
  const script = join(import.meta.dirname, 'raw-threads.mjs');
  try {
    return JSON.parse(execFileSync(process.execPath, [script, ...words], { env, encoding: 'utf8' }));
  } catch (error) {
    // It ends itself by force.
    return JSON.parse(error.stdout);
  }
}

/** The host's memory with one call in flight, after as much work as a short run is. */
async function memoryOfOne() {
  delay(0);
  const daemon = await serve(1);
  await wrk(daemon, await createKey(daemon), { duration: warmSeconds });
  const memory = memoryOf(daemon);
  await daemon.stop();
  return memory;
}

async function withSixteen() {
  delay(0);
  const daemon = await serve(inFlight);
  const [aesKey, hmacKey] = [
    await createKey(daemon),
    await createKey(daemon, { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }),
  ];
  delay(delayMs);
  const encrypt = await underLoad(daemon, aesKey, {});
  const mac = await underLoad(daemon, hmacKey, { operation: 'GenerateMac', inputOf: macInput });
  const layer = await tokenLayer(daemon);
  await daemon.stop();
  return { encrypt, mac, layer };
}

/** One of the calls hangs, and the others go on. */
async function withOneHung() {
  delay(0);
  const daemon = await serve(inFlight);
  const keyId = await createKey(daemon);
  delay(delayMs);
  await wrk(daemon, keyId, { duration: warmSeconds });
  // What the load left under way is answered: the next call is the one that hangs.
  await sleep(500);
  const before = interposer.calls('C_Encrypt');
  interposer.hang('C_Encrypt');
  const begunMs = performance.now();
  const hung = kms(daemon, 'Encrypt', { KeyId: keyId, Plaintext: 'aHVuZw==' }).then(({ text }) => ({
    says: JSON.parse(text).__type,
    ms: performance.now() - begunMs,
  }));
  await until(() => interposer.calls('C_Encrypt') > before, 'the call hangs');
  const others = await wrk(daemon, keyId, { duration: Math.min(seconds, 8) });
  const result = { others, hung: await hung };
  interposer.release();
  await daemon.stop();
  return result;
}

/** Keys of which each takes as long as an RSA-4096 pair, with SoftHSM's own profile. */
async function whileKeysAreMade() {
  delay(0);
  const daemon = await serve(undefined);
  const keyId = await createKey(daemon);
  const load = { duration: seconds, count: 8 };
  await wrk(daemon, keyId, { ...load, duration: warmSeconds });
  const without = await wrk(daemon, keyId, load);
  interposer.quirk('rsaBits', 4096);
  const before = interposer.calls('C_GenerateKey');
  let made = 0;
  const all = Promise.allSettled(Array.from({ length: keysMade }, () => createKey(daemon).then(() => (made += 1))));
  await until(() => interposer.calls('C_GenerateKey') > before, 'keys are being made');
  const during = await wrk(daemon, keyId, load);
  const wereMade = made;
  interposer.quirk('rsaBits', 0);
  await all;
  await daemon.stop();
  return { without, during, wereMade, made };
}

const number = (value) => Math.round(value).toLocaleString('en-US');
const latency = ({ p50, p99 }) => `${p50.toFixed(1)} / ${p99.toFixed(1)}`;

function report({ raw, one, encrypt, mac, layer, hung, making }) {
  const row = (name, { perSecond, p50, p99, cpuUs, describeKey, health }) =>
    `| ${name} | ${number(perSecond)} | ${(perSecond / ideal).toFixed(2)} | ${latency({ p50, p99 })} | ${cpuUs['token-host'].toFixed(0)} | ${cpuUs.gateway.toFixed(0)} | ${latency(describeKey)} | ${latency(health)} |`;
  const each = (encrypt.memory - one) / (inFlight - 1);
  return [
    `A real daemon, \`node test/bench/in-flight.mjs\`: SoftHSM behind a module that adds ${delayMs} ms to each call, ${inFlight} calls in flight, ${connections} connections;`,
    `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}; load generator on the same cores; ${seconds} s after ${warmSeconds} s of warming up.`,
    `The ideal is ${number(ideal)} a second. ${inFlight} threads that do nothing but call pkcs11js reach ${number(raw.perSecond)} (${(raw.perSecond / ideal).toFixed(2)}) with ${raw.cpuUs.toFixed(0)} µs of CPU each.`,
    '',
    '| | a second | ÷ ideal | p50 / p99 ms | host µs | gateway µs | DescribeKey p50 / p99 ms | health p50 / p99 ms |',
    '|---|---|---|---|---|---|---|---|',
    row('Encrypt', encrypt),
    row('GenerateMac', mac),
    '',
    `The token's client and host alone, without HTTP, line and audit: ${number(layer.perSecond)} Encrypts a second (${(layer.perSecond / ideal).toFixed(2)}), ${layer.hostUs.toFixed(0)} µs of CPU in the host and ${layer.clientUs.toFixed(0)} in the client.`,
    '',
    '| Figure | To reach | Reached |',
    '|---|---|---|',
    `| Encrypt ÷ ideal, client and host alone | 0.8 | ${(layer.perSecond / ideal).toFixed(2)} |`,
    `| Encrypt ÷ ideal, as far as two cores carry it | 0.8 | ${(encrypt.perSecond / ideal).toFixed(2)} |`,
    `| GenerateMac ÷ ideal, likewise | 0.8 | ${(mac.perSecond / ideal).toFixed(2)} |`,
    `| DescribeKey p99 meanwhile | 20 ms | ${encrypt.describeKey.p99.toFixed(1)} ms |`,
    `| health p99 meanwhile | 20 ms | ${encrypt.health.p99.toFixed(1)} ms |`,
    `| Encrypt ÷ ideal of ${inFlight - 1}, while one hangs | 0.8 | ${(hung.others.perSecond / (ideal * (1 - 1 / inFlight))).toFixed(2)} |`,
    `| What its caller hears, of a deadline of ${deadlineMs} ms | DependencyTimeoutException | ${hung.hung.says} after ${number(hung.hung.ms)} ms |`,
    `| Memory of each call in flight beyond one (${one} MB with one, ${encrypt.memory} MB with ${inFlight}) | 8 MB | ${each.toFixed(1)} MB |`,
    `| Encrypt p99 on SoftHSM while ${keysMade} keys are made, each as long as RSA-4096 (${making.without.p99.toFixed(1)} ms without; 8 connections) | 50 ms | ${making.during.p99.toFixed(1)} ms |`,
    '',
    `Of those ${keysMade} keys ${making.wereMade} were made in the ${seconds} s, while ${number(making.during.perSecond)} Encrypts a second were answered (${number(making.without.perSecond)} without).`,
    '',
  ].join('\n');
}

try {
  await makeHome();
  const one = await memoryOfOne();
  delay(delayMs);
  const raw = rawThreads();
  const { encrypt, mac, layer } = await withSixteen();
  const hung = await withOneHung();
  const making = await whileKeysAreMade();
  const text = report({ raw, one, encrypt, mac, layer, hung, making });
  console.log(text);
  const { markdown } = options;
  if (markdown !== undefined)
    writeFileSync(markdown, withSection(readFileSync(markdown, 'utf8'), 'Calls in flight', text));
} finally {
  interposer.release();
  interposer.close();
  agent.destroy();
  rmSync(home, { recursive: true, force: true });
}
