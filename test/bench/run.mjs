// The bench: Encrypt of 32 bytes, signed, authorized, in the token, audit on disk, against a bare node:http server and a raw PKCS#11 loop,
// in one run on the same cores. Figures are medians of the rounds; what counts are the ratios, since machines are noisy.
//   npm run bench -- [--rounds 3] [--seconds 8] [--markdown FILE] [--profile] [--soak REQUESTS]
//   npm run bench -- --hostile [--seconds 8]
// --profile adds where the time of a request goes, --soak what memory does over so many requests.
// --hostile is another bench: memory and service under 10 000 connections of strangers.
import { execFileSync, fork, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { hostile, hostileReport } from './hostile.mjs';
import { wrkScript } from './presign.mjs';
import { cpuMs, family, residentMb } from './processes.mjs';
import { profileTable } from './profile.mjs';
import { report } from './report.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '8' },
    markdown: { type: 'string' },
    profile: { type: 'boolean', default: false },
    soak: { type: 'string', default: '0' },
    hostile: { type: 'boolean', default: false },
  },
});
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const connections = [1, 64, 256];
const root = join(import.meta.dirname, '../..');
const home = mkdtempSync(join(tmpdir(), 'hsm-bridge-bench-'));

const modulePath = [
  '/usr/lib/softhsm/libsofthsm2.so',
  join(root, '.setup/softhsm/usr/lib/softhsm/libsofthsm2.so'),
].find((path) => existsSync(path));
if (spawnSync('wrk', ['-v']).error) throw new Error('the bench needs wrk: apt-get install wrk');

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function readEnv(file) {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

async function startDaemon(nodeArguments = []) {
  const env = {
    ...process.env,
    HSM_BRIDGE_HOME: home,
    HSM_BRIDGE_PORT: '0',
    HSM_BRIDGE_ADMIN_PORT: '0',
  };
  const started = performance.now();
  const daemon = spawn(process.execPath, [...nodeArguments, join(root, 'dist/main.js'), 'dev'], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
    cwd: home,
  });
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  const file = join(home, 'dev.env');
  while (!existsSync(file)) {
    if (daemon.exitCode !== null || performance.now() - started > 60_000)
      throw new Error('the daemon did not become ready');
    await sleep(10);
  }
  const readyMs = performance.now() - started;
  const stop = async () => {
    daemon.kill('SIGTERM');
    await ended;
  };
  return { pid: daemon.pid, env: readEnv(file), readyMs, stop };
}

async function startEcho() {
  const child = fork(join(import.meta.dirname, 'bare-echo.mjs'));
  const { port } = await new Promise((resolve) => child.once('message', resolve));
  return { pid: child.pid, port, stop: () => child.disconnect() };
}

/** One run of wrk: requests per second, latencies in ms; throws when a response was not a 200. */
function wrk(port, script, count, duration) {
  const file = join(home, 'load.lua');
  writeFileSync(file, script);
  const args = ['-t1', `-c${count}`, `-d${duration}s`, '--latency', '-s', file, `http://127.0.0.1:${port}/`];
  const output = execFileSync('wrk', args, { encoding: 'utf8' });
  if (/Non-2xx|Socket errors/.test(output)) throw new Error(`the load was not served:\n${output}`);
  const ms = (percent) => {
    const [, value, unit] = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(output);
    return Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit];
  };
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)[1]),
    requests: Number(/(\d+) requests in/.exec(output)[1]),
    p50: ms(50),
    p99: ms(99),
  };
}

function measure(port, script, count, processes) {
  const before = cpuMs(processes);
  const result = wrk(port, script, count, seconds);
  return { ...result, cpuUs: ((cpuMs(processes) - before) * 1000) / result.requests };
}

function rawLoop(env) {
  const tokens = join(home, 'tokens/us-east-1');
  const args = [
    join(import.meta.dirname, 'raw-pkcs11.mjs'),
    modulePath,
    join(tokens, 'user.pin'),
    String(Math.min(seconds, 4)),
  ];
  return Number(
    execFileSync(process.execPath, args, {
      encoding: 'utf8',
      env: { ...env, SOFTHSM2_CONF: join(tokens, 'softhsm2.conf') },
    }),
  );
}

/** Resident MB by role. */
const memoryOf = (processes) => Object.fromEntries(processes.map(({ pid, role }) => [role, residentMb(pid)]));

async function createKey(env) {
  const client = new KMSClient({
    endpoint: env.AWS_ENDPOINT_URL_KMS,
    region: env.AWS_REGION,
    credentials: { accessKeyId: env.AWS_ACCESS_KEY_ID, secretAccessKey: env.AWS_SECRET_ACCESS_KEY },
  });
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  client.destroy();
  return KeyMetadata.KeyId;
}

const portOf = (env) => Number(new URL(env.AWS_ENDPOINT_URL_KMS).port);

/** `pauseMs`: between an answer and the next request of a connection, on average. */
const loadFor = (env, keyId, pauseMs = 0) =>
  wrkScript({
    pauseMs,
    port: portOf(env),
    region: env.AWS_REGION,
    credentials: { accessKeyId: env.AWS_ACCESS_KEY_ID, secretAccessKey: env.AWS_SECRET_ACCESS_KEY },
    keyId,
    count: 2000,
  });

async function compare() {
  const first = await startDaemon();
  await first.stop();
  const daemon = await startDaemon();
  const echo = await startEcho();
  const keyId = await createKey(daemon.env);
  const ours = family(daemon.pid);
  wrk(portOf(daemon.env), loadFor(daemon.env, keyId), 64, 3); // warm
  wrk(echo.port, loadFor(daemon.env, keyId), 64, 2);
  const rows = new Map(connections.map((count) => [count, { ours: [], echo: [] }]));
  const raw = [];
  for (let round = 0; round < rounds; round++) {
    raw.push(rawLoop(process.env));
    for (const count of connections) {
      const script = loadFor(daemon.env, keyId); // signed anew: a signature ages
      rows.get(count).echo.push(measure(echo.port, script, count, [{ pid: echo.pid }]));
      rows.get(count).ours.push(measure(portOf(daemon.env), script, count, ours));
    }
  }
  // At the top a connection's turn comes every 64 / top seconds; at half of it, every 128 / top, which the pauses alone make up.
  const top = median(rows.get(64).ours.map(({ perSecond }) => perSecond));
  const half = measure(portOf(daemon.env), loadFor(daemon.env, keyId, (2 * 64 * 1000) / top), 64, ours);
  const memory = memoryOf(ours);
  const soak = soakMemory(daemon, keyId, ours);
  echo.stop();
  await daemon.stop();
  const middle = (runs) =>
    Object.fromEntries(Object.keys(runs[0]).map((name) => [name, median(runs.map((run) => run[name]))]));
  return {
    machine: `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}`,
    rounds,
    seconds,
    readyMs: daemon.readyMs,
    raw: median(raw),
    half,
    memory,
    soak,
    rows: connections.map((count) => ({
      connections: count,
      ours: middle(rows.get(count).ours),
      echo: middle(rows.get(count).echo),
    })),
  };
}

/** Resident memory of each process as the requests add up: [requests, { role: MB }]. */
function soakMemory(daemon, keyId, processes) {
  const wanted = Number(options.soak);
  const readings = [];
  for (let done = 0; done < wanted;) {
    done += wrk(portOf(daemon.env), loadFor(daemon.env, keyId), 64, seconds).requests;
    readings.push([done, memoryOf(processes)]);
  }
  return readings;
}

/** The same load with V8's profiler on: where the time of the gateway and of the token host goes. */
async function profile() {
  const folder = join(home, 'profiles');
  mkdirSync(folder);
  const daemon = await startDaemon([`--title=${folder}`, '--import', join(import.meta.dirname, 'profiler.mjs')]);
  const script = loadFor(daemon.env, await createKey(daemon.env));
  wrk(portOf(daemon.env), script, 64, 4); // warm
  writeFileSync(join(folder, 'go'), '');
  await sleep(200);
  const { requests } = wrk(portOf(daemon.env), script, 64, seconds);
  await daemon.stop();
  return profileTable(folder, requests);
}

async function underAttack() {
  const daemon = await startDaemon();
  const keyId = await createKey(daemon.env);
  const script = loadFor(daemon.env, keyId);
  wrk(portOf(daemon.env), script, 64, 4); // as large as work makes it
  const { pid } = family(daemon.pid).find(({ role }) => role === 'gateway');
  const rows = await hostile({ env: daemon.env, gateway: pid, keyId, seconds });
  await daemon.stop();
  return `${hostileReport(rows)}\n`;
}

async function usual() {
  const results = await compare();
  const { markdown } = options;
  const earlier = markdown !== undefined && existsSync(markdown) ? readFileSync(markdown, 'utf8') : '';
  return report(results, options.profile ? await profile() : undefined, earlier);
}

try {
  const text = options.hostile ? await underAttack() : await usual();
  console.log(text);
  if (options.markdown !== undefined) writeFileSync(options.markdown, text);
} finally {
  rmSync(home, { recursive: true, force: true });
}
