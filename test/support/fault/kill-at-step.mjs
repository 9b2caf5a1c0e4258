// Loaded first into each process of a daemon under test. In the folder ?control=… a file `arm` says {role, from, at}: the process of that
// role counts the steps it takes once it has come to `from`. It kills itself at step `at` and leaves a file `hit`, or, without an `at`,
// writes each step's name to the file `steps`. Steps are what reaches the disk, the database, the token or the caller, before and after.
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';

const control = new URL(import.meta.url).searchParams.get('control');
// Only token hosts have further threads.
const role = isMainThread ? process.argv[2] : 'token-host';
const dist = (path) => import(new URL(`../../../dist/${path}`, import.meta.url).href);
const seen = new Map();
let armed;

/** `text`: what may hold the place to count from. */
function begin(text) {
  if (armed !== undefined || !existsSync(join(control, 'arm'))) return;
  const arm = JSON.parse(readFileSync(join(control, 'arm'), 'utf8'));
  if (arm.role === role && text.includes(arm.from)) armed = arm;
}

function step(what) {
  if (armed === undefined || !existsSync(join(control, 'arm'))) return;
  const times = (seen.get(what) ?? 0) + 1;
  seen.set(what, times);
  const name = `${what} (${times})`;
  if (armed.at === undefined) appendFileSync(join(control, 'steps'), `${name}\n`);
  if (armed.at !== name) return;
  rmSync(join(control, 'arm'));
  writeFileSync(join(control, 'hit'), name);
  process.kill(process.pid, 'SIGKILL');
  // The signal is on its way: nothing more may happen.
  for (;;);
}

/** A synchronous or asynchronous method, with a step before and after; none where `name` has no name for it. */
function around(prototype, method, { name = method, from = () => undefined, sent = false } = {}) {
  const original = prototype[method];
  prototype[method] = function (...words) {
    from(...words);
    const what = typeof name === 'function' ? name(...words) : name;
    if (what === undefined) return original.apply(this, words);
    step(`before ${what}`);
    const result = original.apply(this, words);
    if (typeof result?.then !== 'function') {
      step(`after ${what}`);
      return result;
    }
    // A request leaves this process at the end of its turn.
    if (sent) setImmediate(() => setImmediate(() => step(`sent ${what}`)));
    return result.then((value) => {
      step(`after ${what}`);
      return value;
    });
  };
}

/** Beats, leases and notices come when they come: they are no steps, nor is a commit of nothing else. */
const untimed = /^(insert into|update|delete from) "?(lives|leases|changes)\b/i;
let isWritten = false;

function nameOfStatement(text) {
  if (/^commit/i.test(text)) return isWritten ? 'commit' : undefined;
  if (untimed.test(text)) return undefined;
  isWritten = true;
  return text.slice(0, 24);
}

async function hookGateway() {
  const { systemDisk } = await dist('kernel/disk.js');
  const { SqliteConnection } = await dist('store/sqlite/connection.js');
  const { TokenCalls } = await dist('token/calls.js');
  for (const open of ['create', 'openAppend']) {
    const original = systemDisk[open];
    systemDisk[open] = async (path) => {
      const file = await original(path);
      const from = (bytes, offset, length) => begin(bytes.toString('utf8', offset, offset + length));
      around(file, 'write', { name: 'audit write', from });
      around(file, 'datasync', { name: 'audit sync' });
      return file;
    };
  }

  const { prepare, tryBegin } = SqliteConnection.prototype;
  SqliteConnection.prototype.tryBegin = function () {
    isWritten = false;
    return tryBegin.call(this);
  };
  SqliteConnection.prototype.prepare = function (text) {
    const statement = prepare.call(this, text);
    if (!/^(insert|update|delete|commit)/i.test(text)) return statement;
    const hooked = { ...statement };
    around(hooked, 'run', { name: () => nameOfStatement(text) });
    around(hooked, 'all', { name: () => nameOfStatement(text) });
    return hooked;
  };

  for (const method of ['generateKey', 'holds', 'scheduleDestruction', 'destroyScheduled', 'createDaemonKeys']) {
    around(TokenCalls.prototype, method, { name: `token ${method}`, sent: true });
  }

  const { end } = ServerResponse.prototype;
  ServerResponse.prototype.end = function (...words) {
    step('before answer');
    const result = end.apply(this, words);
    setImmediate(() => step('after answer'));
    return result;
  };
}

async function hookTokenHost() {
  const { default: pkcs11 } = await import('pkcs11js');
  const { KeyObjects } = await dist('token/host/objects.js');
  const { TokenServer } = await dist('token/host/server.js');
  // Keys are made in another thread, which never comes to an immediate: the main thread answers for it.
  const { answer } = TokenServer.prototype;
  TokenServer.prototype.answer = function (...words) {
    begin('generate');
    answer.apply(this, words);
    setImmediate(() => setImmediate(() => step('answered generate')));
  };
  for (const method of ['generate', 'destroy', 'createDaemonKeys']) {
    const original = KeyObjects.prototype[method];
    KeyObjects.prototype[method] = function (...words) {
      begin(method);
      const result = original.apply(this, words);
      setImmediate(() => setImmediate(() => step(`answered ${method}`)));
      return result;
    };
  }
  for (const method of ['C_GenerateKey', 'C_CreateObject', 'C_DestroyObject', 'C_InitToken', 'C_InitPIN']) {
    around(pkcs11.PKCS11.prototype, method, { from: () => begin(method) });
  }
}

if (role === 'gateway') await hookGateway();
if (role === 'token-host') await hookTokenHost();
