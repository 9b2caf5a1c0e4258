// A real daemon whose store and SoftHSM token hold very many keys: how long its start takes, what memory it holds beside an empty one, and the
// longest turn of the event loop in gateway and token host, over the start, a look at all seals and whole turns of the upkeep.
//   node test/bench/many-keys.mjs [keys=100000] [markdown file, whose section about them it writes]
// The objects in the token are copies of one, each with a CKA_ID of its own: a token takes minutes to make so many. They are listed and named
// as the daemon's are, and none is used. TMPDIR=/dev/shm spares the disk.
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pkcs11 from 'pkcs11js';
import { fillKeys, region } from './key-rows.mjs';
import { family, residentMb } from './processes.mjs';
import { withSection } from './report.mjs';

const count = Number(process.argv[2] ?? 100_000);
const markdown = process.argv[3];
const root = join(import.meta.dirname, '../..');
const home = mkdtempSync(join(tmpdir(), 'hsm-bridge-many-'));
const records = join(home, 'stalls');
const idBytes = 16;
/** A whole turn of the upkeep comes after each of these (src/gateway/upkeep.ts). */
const upkeepEveryMs = 60_000;
const patienceMs = 1_200_000;
const roles = ['gateway', 'token-host'];

const modulePath = [
  '/usr/lib/softhsm/libsofthsm2.so',
  join(root, '.setup/softhsm/usr/lib/softhsm/libsofthsm2.so'),
].find((path) => existsSync(path));

async function until(condition, what) {
  for (const end = performance.now() + patienceMs; !condition(); await sleep(20))
    if (performance.now() > end) throw new Error(`${what}: not in ${patienceMs / 1000} s`);
}

/** Resolves when it serves. */
async function startDaemon() {
  rmSync(records, { recursive: true, force: true });
  mkdirSync(records);
  const recorder = new URL('stall-recorder.mjs', import.meta.url);
  recorder.searchParams.set('folder', records);
  const words = [`--import=${recorder.href}`];
  const env = { ...process.env, HSM_BRIDGE_HOME: home, HSM_BRIDGE_PORT: '0', HSM_BRIDGE_ADMIN_PORT: '0' };
  const stdio = ['ignore', 'ignore', 'pipe'];
  const begunMs = Date.now();
  const daemon = spawn(process.execPath, [...words, join(root, 'dist/main.js'), 'dev'], { env, stdio, cwd: home });
  /** Lines of the log, and when they came. */
  const log = [];
  daemon.stderr.on('data', (chunk) => log.push({ atMs: Date.now(), text: String(chunk) }));
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  const said = (text) => log.find((line) => line.text.includes(text))?.atMs;
  await until(() => daemon.exitCode !== null || existsSync(join(home, 'dev.env')), 'the daemon is ready');
  if (daemon.exitCode !== null) throw new Error(`the daemon ended:\n${log.map(({ text }) => text).join('')}`);
  const memory = () =>
    Object.fromEntries(
      family(daemon.pid)
        .filter(({ role }) => roles.includes(role))
        .map(({ pid, role }) => [role, residentMb(pid)]),
    );
  const stop = async () => {
    daemon.kill('SIGTERM');
    await ended;
  };
  return { begunMs, readyMs: Date.now(), said, memory, stop };
}

/** The token of the home, while no daemon has it. */
function withToken(work) {
  const folder = join(home, 'tokens', region);
  process.env.SOFTHSM2_CONF = join(folder, 'softhsm2.conf');
  const p = new pkcs11.PKCS11();
  p.load(modulePath);
  p.C_Initialize();
  const session = p.C_OpenSession(p.C_GetSlotList(true)[0], pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
  p.C_Login(session, pkcs11.CKU_USER, readFileSync(join(folder, 'user.pin'), 'utf8').trim());
  try {
    return work(p, session);
  } finally {
    p.C_Finalize();
  }
}

/** All rows, sealed by the token's own key. */
function fill(p, session) {
  p.C_FindObjectsInit(session, [{ type: pkcs11.CKA_ID, value: Buffer.from('hsmb-row-seal-01') }]);
  const [sealKey] = p.C_FindObjects(session, 1);
  p.C_FindObjectsFinal(session);
  const seal = (bytes) => {
    p.C_SignInit(session, { mechanism: pkcs11.CKM_SHA256_HMAC }, sealKey);
    return p.C_Sign(session, bytes, Buffer.alloc(32));
  };
  return fillKeys(join(home, 'store/hsm-bridge.db'), count, seal);
}

/** A key of no secret, whose file says its CKA_ID in the clear. */
function makeModel(p, session) {
  const ckaId = randomBytes(idBytes);
  p.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
    { type: pkcs11.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_PRIVATE, value: false },
    { type: pkcs11.CKA_ID, value: ckaId },
    { type: pkcs11.CKA_ENCRYPT, value: true },
  ]);
  return ckaId;
}

function copyObjects(ckaIds, modelId) {
  const tokens = join(home, 'tokens', region);
  const files = readdirSync(tokens, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.object'))
    .map((entry) => ({ folder: entry.parentPath, path: join(entry.parentPath, entry.name) }));
  const model = files.find(({ path }) => readFileSync(path).includes(modelId));
  const bytes = readFileSync(model.path);
  const at = bytes.indexOf(modelId);
  for (let n = 0; n < count; n++) {
    ckaIds.copy(bytes, at, n * idBytes, (n + 1) * idBytes);
    writeFileSync(join(model.folder, `${randomUUID()}.object`), bytes, { mode: 0o600 });
  }
  rmSync(model.path);
}

/** The longest of a role's turns between two times. */
function longest(role, fromMs, toMs) {
  const file = join(records, `${role}.jsonl`);
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
  const turns = lines.map((line) => JSON.parse(line)).filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  const most = (name) => Math.round(Math.max(0, ...turns.map((turn) => turn[name])));
  return { ms: most('ms'), cpuMs: most('cpuMs') };
}

async function measure() {
  const first = await startDaemon();
  await first.stop();
  const small = await startDaemon();
  await sleep(3_000);
  const empty = { memory: small.memory(), startMs: small.readyMs - small.begunMs };
  await small.stop();
  const [ckaIds, modelId] = withToken((p, session) => [fill(p, session), makeModel(p, session)]);
  copyObjects(ckaIds, modelId);

  const daemon = await startDaemon();
  await sleep(3_000);
  const started = daemon.memory();
  const checked = () => daemon.said('the seals of');
  await until(() => checked() !== undefined, 'the seals are checked');
  const sealed = daemon.memory();
  await until(() => Date.now() > Math.max(daemon.readyMs, checked()) + upkeepEveryMs + 5_000, 'a turn of the upkeep');
  const after = daemon.memory();
  const endMs = Date.now();
  const phases = [
    ['until it serves', daemon.begunMs, daemon.readyMs],
    ['serving, while all seals are looked at', daemon.readyMs, checked()],
    ['serving, with a turn of the upkeep', checked(), endMs],
  ].map(([name, fromMs, toMs]) => ({
    name,
    ms: toMs - fromMs,
    turns: roles.map((role) => longest(role, fromMs, toMs)),
  }));
  await daemon.stop();
  return { empty, started, sealed, after, phases };
}

function report({ empty, started, sealed, after, phases }) {
  const turn = ({ ms, cpuMs }) => `${ms} (${cpuMs})`;
  const memory = (when, { gateway, 'token-host': tokenHost }) => `| ${when} | ${gateway} | ${tokenHost} |`;
  return [
    'A real daemon, `node test/bench/many-keys.mjs`. The objects are copies of one with CKA_IDs of their own; none is used. SoftHSM reads all files of a',
    'token in C_Initialize, lists all objects in one call, at its start and once more for the comparison with the rows, and keeps 10 KB of each: what the',
    'token host shows until it serves, as its longest turn after that, and as memory is the library. A token of another make has its own figures.',
    '',
    `${count.toLocaleString('en-US')} keys, and as many objects in SoftHSM; ${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}.`,
    'Longest turn of the event loop by the clock, and in brackets the most CPU time that a process had in one, ms:',
    '',
    '| | took s | gateway | token host |',
    '|---|---|---|---|',
    ...phases.map(({ name, ms, turns }) => `| ${name} | ${(ms / 1000).toFixed(1)} | ${turns.map(turn).join(' | ')} |`),
    '',
    '| Memory, MB | gateway | token host |',
    '|---|---|---|',
    memory(`without keys (ready in ${(empty.startMs / 1000).toFixed(1)} s)`, empty.memory),
    memory('3 s after it serves', started),
    memory('all seals looked at', sealed),
    memory('after a turn of the upkeep', after),
    '',
  ].join('\n');
}

try {
  const text = report(await measure());
  console.log(text);
  if (markdown !== undefined)
    writeFileSync(markdown, withSection(readFileSync(markdown, 'utf8'), 'Very many keys', text));
} finally {
  rmSync(home, { recursive: true, force: true });
}
