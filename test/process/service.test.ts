// The whole program on real SoftHSM tokens: `serve` with a file, what it says when its token cannot be used, and the session that the
// banner of `dev` prints, pasted into a shell with the AWS CLI.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { softHsm } from '../support/inside.js';
import { type Daemon, lives, until } from './daemon.js';
import { makeTokenStore, startProgram } from './program.js';

const pin = 'right-pin-1';
const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-service-'));
const home = join(folder, 'home');
const config = join(folder, 'bridge.yaml');
const { environment: softhsm, tool } = makeTokenStore(folder);
const daemons: Daemon[] = [];

function start(words: readonly string[], environment: NodeJS.ProcessEnv = {}): Daemon {
  const daemon = startProgram(words, environment, folder);
  daemons.push(daemon);
  return daemon;
}

/** Every process whose parent is this one. */
function childrenOf(pid: number): number[] {
  const listed = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
  return listed.trim().split(/\s+/).map(Number);
}

/** The addresses these processes listen on by TCP, as the kernel writes them. */
function portsOf(pids: readonly number[]): string[] {
  const files = pids.flatMap((pid) => readdirSync(`/proc/${pid}/fd`).map((name) => `/proc/${pid}/fd/${name}`));
  const open = new Set(files.map((path) => readlinkSync(path)));
  const sockets = ['tcp', 'tcp6'].flatMap((name) => readFileSync(`/proc/net/${name}`, 'utf8').split('\n').slice(1));
  return sockets.flatMap((line) => {
    const [, address = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
    return state === '0A' && open.has(`socket:[${inode}]`) ? [address] : [];
  });
}

function writeConfig(label: string, module = softHsm()): void {
  writeFileSync(
    config,
    `home: home\nlisten: { port: 0 }\nadmin: { port: 0 }\naccounts: ["000000000000", "111122223333"]\nregions:\n  us-east-1:\n` +
      `    profile: softhsm2\n    modulePath: ${module}\n    label: ${label}\n    pinFile: pin\n` +
      `    environment: { SOFTHSM2_CONF: ${softhsm.SOFTHSM2_CONF} }\n`,
  );
}

beforeAll(() => {
  const soPin = ['--so-pin', 'so-pin-1'];
  tool('--slot-index', '0', '--init-token', '--label', 'service', ...soPin);
  tool('--token-label', 'service', '--login', '--login-type', 'so', ...soPin, '--init-pin', '--pin', pin);
  writeFileSync(join(folder, 'pin'), `${pin}\n`, { mode: 0o600 });
  writeConfig('service');
});
afterEach(async () => {
  for (const { process: child } of daemons) child.kill('SIGKILL');
  await Promise.all(daemons.splice(0).map(({ ended }) => ended));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('serve', () => {
  it('serves what its file says, logs JSON, and writes credentials but no dev.env', async () => {
    const daemon = start(['serve', '--config', config], { NODE_OPTIONS: '--no-warnings', AWS_REGION: 'eu-west-1' });
    const said = (): Record<string, unknown>[] =>
      daemon
        .errors()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    await until(() => daemon.errors().includes('"message":"ready"'), daemon.errors);
    const ready = said().find(({ message }) => message === 'ready');
    const health = await fetch(`http://127.0.0.1:${String(ready?.['adminPort'])}/health/ready`);
    expect(health.status).toBe(200);
    const answer = await fetch(`http://127.0.0.1:${String(ready?.['port'])}/`, { method: 'POST' });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(existsSync(join(home, 'dev.env'))).toBe(false);
    const credentials = readFileSync(join(home, 'credentials'), 'utf8');
    expect(credentials.match(/^\[.*\]$/gm)).toEqual(['[default]', '[111122223333]']);
    // Neither the PIN nor a secret key is in an argument, an environment or the log.
    const secrets = [pin, ...[...credentials.matchAll(/secret_access_key = (\S+)/g)].map(([, secret]) => secret!)];
    expect(secrets).toHaveLength(3);
    const pids = [daemon.process.pid!, ...childrenOf(daemon.process.pid!)];
    expect(pids).toHaveLength(3);
    const visible = pids.map(
      (pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1') + readFileSync(`/proc/${pid}/environ`, 'latin1'),
    );
    for (const secret of secrets)
      expect([...visible, daemon.errors(), daemon.output()].join('\n')).not.toContain(secret);
    // Only the token host has the vendor's library in its memory, which no core dump shows, and no way into it by Node's variables.
    const hosts = pids.filter((pid) => readFileSync(`/proc/${pid}/maps`, 'latin1').includes('libsofthsm2'));
    expect(hosts).toHaveLength(1);
    expect(readFileSync(`/proc/${hosts[0]}/limits`, 'latin1')).toMatch(/^Max core file size +0 +0 +bytes/m);
    const variables = readFileSync(`/proc/${hosts[0]}/environ`, 'latin1').split('\0');
    expect(variables).toContain(`SOFTHSM2_CONF=${softhsm.SOFTHSM2_CONF}`);
    expect(variables.filter((each) => /^(NODE_(OPTIONS|EXTRA_CA_CERTS)|AWS_\w+)=/.test(each))).toEqual([]);
    expect(readdirSync(join(home, 'pins'))).toEqual([]);

    daemon.process.kill('SIGTERM');
    expect(await daemon.ended).toBe(0);
    expect(pids.filter(lives)).toEqual([]);
    expect(readdirSync(join(home, 'run'))).toEqual([]);
    expect(said().every(({ process: name }) => typeof name === 'string')).toBe(true);
    const open = everyFile(home).filter((path) => (lstatSync(path).mode & 0o077) !== 0);
    expect(open).toEqual([]);
  });

  it('has no port where it is given a socket alone', async () => {
    const text = readFileSync(config, 'utf8');
    writeFileSync(config, text.replace('listen: { port: 0 }', "listen: { socket: bridge.sock, socketMode: '0660' }"));
    const daemon = start(['serve', '--config', config]);
    await until(() => daemon.errors().includes('"message":"ready"'), daemon.errors);
    writeFileSync(config, text);
    const path = join(folder, 'bridge.sock');
    expect(lstatSync(path).mode & 0o777).toBe(0o660);
    const answer = await new Promise<number | undefined>((resolve, reject) => {
      const call = request({ socketPath: path, method: 'POST' }, ({ statusCode }) => resolve(statusCode));
      call.on('error', reject).end();
    });
    expect(answer).toBe(400);
    const pids = [daemon.process.pid!, ...childrenOf(daemon.process.pid!)];
    // The admin port's.
    expect(portsOf(pids)).toHaveLength(1);
    daemon.process.kill('SIGHUP');
    expect(await daemon.ended).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  const refusals = (daemon: Daemon): string[] =>
    daemon
      .errors()
      .split('\n')
      .filter((line) => line.startsWith('hsm-bridge: '));

  it('stops on a wrong PIN with one line', async () => {
    writeFileSync(join(folder, 'pin'), 'wrong-pin-1\n');
    const daemon = start(['serve', '--config', config]);
    expect(await daemon.ended).toBe(1);
    writeFileSync(join(folder, 'pin'), `${pin}\n`);
    expect(refusals(daemon)).toEqual([expect.stringMatching(/PIN/) as string]);
    expect(daemon.errors()).not.toContain('wrong-pin-1');
    expect(daemon.errors()).not.toMatch(/\n\s+at /);
  });

  it.each([
    ['a token that is not there', 'absent', undefined, /absent/],
    ['a module that is not there', 'service', '/nowhere/lib.so', /\/nowhere\/lib\.so/],
  ])('stops on %s with one line', async (_what, label, module, names) => {
    writeConfig(label, module);
    const daemon = start(['serve', '--config', config]);
    expect(await daemon.ended).toBe(1);
    writeConfig('service');
    expect(refusals(daemon)).toEqual([expect.stringMatching(names) as string]);
    expect(daemon.errors()).not.toMatch(/\n\s+at /);
  });
});

describe('dev', () => {
  it('prints a session that works when it is pasted', async () => {
    const daemon = start(['dev'], { HSM_BRIDGE_HOME: 'dev home', HSM_BRIDGE_PORT: '0', HSM_BRIDGE_ADMIN_PORT: '0' });
    await until(() => daemon.output().includes('Ctrl-C'), daemon.errors);
    const [, session = ''] = /Paste this into another shell:\n\n(.*?)\n\nNOT FOR/s.exec(daemon.output()) ?? [];
    expect(session.split('\n')).toHaveLength(5);
    const path = `${join(process.cwd(), '.setup/bin')}:${process.env['PATH'] ?? ''}`;
    const output = execFileSync('sh', ['-e'], { input: session, cwd: folder, env: { PATH: path, HOME: folder } });
    expect(output.toString()).toBe('hello\n');

    // What a shell would put into the file name is quoted, and a restart keeps keys and credentials.
    const credentials = fingerprint(join(folder, 'dev home/credentials'));
    daemon.process.kill('SIGINT');
    expect(await daemon.ended).toBe(0);
    const again = start(['dev'], { HSM_BRIDGE_HOME: 'dev home', HSM_BRIDGE_PORT: '0', HSM_BRIDGE_ADMIN_PORT: '0' });
    await until(() => again.output().includes('Ctrl-C'), again.errors);
    expect(fingerprint(join(folder, 'dev home/credentials'))).toBe(credentials);
    const [source = '', , , , decrypt = ''] = session.split('\n');
    const second = execFileSync('sh', ['-e'], {
      input: `${source}\n${decrypt}\n`,
      cwd: folder,
      env: { PATH: path, HOME: folder },
    });
    expect(second.toString()).toBe('hello\n');
    again.process.kill('SIGTERM');
    expect(await again.ended).toBe(0);
  });
});

const fingerprint = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

/** Files and folders; a symbolic link has no mode of its own. */
function everyFile(path: string): string[] {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' });
  return names.map((name) => join(path, name)).filter((file) => !lstatSync(file).isSymbolicLink());
}
