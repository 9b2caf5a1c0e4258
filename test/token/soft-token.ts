// A SoftHSMv2 token of a test's own, in a folder of its own, and token hosts on it. OpenSC's pkcs11-tool is the second opinion.
import { fork, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { FromTokenHost, TokenHostConfig } from '../../src/config/processes.js';
import { systemClock } from '../../src/kernel/clock.js';
import { Interposer } from '../support/interposer/interposer.js';
import { connectAccount, type AccountOptions, type AccountToken } from './one-account.js';

export const profilePath = resolve('native-config/softhsm2.json');
export const tokenLabel = 'test';
export const pin = 'test-pin-4711';
const soPin = 'test-so-pin';

export function softHsm(): string {
  const path = ['/usr/lib/softhsm/libsofthsm2.so', resolve('.setup/softhsm/usr/lib/softhsm/libsofthsm2.so')].find(
    (candidate) => existsSync(candidate),
  );
  if (path === undefined) throw new Error('SoftHSMv2 is missing: run scripts/setup');
  return path;
}

/** A folder with an empty SoftHSM token store in it. */
export class SoftStore {
  readonly home = mkdtempSync(join(tmpdir(), 'hsm-bridge-token-'));
  readonly tokens = join(this.home, 'tokens');
  readonly conf = join(this.home, 'softhsm2.conf');
  readonly pinFile = join(this.home, 'pin');
  readonly soPinFile = join(this.home, 'so-pin');
  readonly socketPath = join(this.home, 't.sock');
  readonly notesFolder = join(this.home, 'pins');
  readonly #hosts: Host[] = [];
  #interposer: Interposer | undefined;

  constructor() {
    mkdirSync(this.tokens, { mode: 0o700 });
    writeFileSync(this.conf, readFileSync('softhsm.conf', 'utf8').replace('@TOKENS@', this.tokens));
    writeFileSync(this.pinFile, `${pin}\n`, { mode: 0o600 });
  }

  /** Initialises the token; without `userPin` it is left as the security officer made it. */
  initialise(userPin = true): this {
    this.tool('--slot-index', '0', '--init-token', '--label', tokenLabel, '--so-pin', soPin);
    const so = ['--token-label', tokenLabel, '--login', '--login-type', 'so', '--so-pin', soPin];
    if (userPin) this.tool(...so, '--init-pin', '--pin', pin);
    writeFileSync(this.soPinFile, `${soPin}\n`, { mode: 0o600 });
    return this;
  }

  /** Puts one in front of the module, for hosts that are started from then on. */
  interpose(): Interposer {
    return (this.#interposer = new Interposer(this.home, softHsm()));
  }

  /** pkcs11-tool's output; throws when it fails. */
  tool(...args: string[]): string {
    const { status, output } = this.tryTool(...args);
    if (status !== 0) throw new Error(`pkcs11-tool ${args.join(' ')}: ${output}`);
    return output;
  }

  tryTool(...args: string[]): { status: number | null; output: string } {
    const env = { ...process.env, SOFTHSM2_CONF: this.conf };
    const run = spawnSync('pkcs11-tool', ['--module', softHsm(), ...args], { encoding: 'utf8', env });
    if (run.error) throw run.error;
    return { status: run.status, output: run.stdout + run.stderr };
  }

  asUser(...args: string[]): string {
    return this.tool('--token-label', tokenLabel, '--login', '--pin', pin, ...args);
  }

  /** What hosts have noted of their users' logins. */
  notes(): string[] {
    const names = existsSync(this.notesFolder) ? readdirSync(this.notesFolder) : [];
    return names.map((name) => join(this.notesFolder, name));
  }

  config(changes: Partial<TokenHostConfig> = {}): TokenHostConfig {
    return {
      region: 'eu-test-1',
      keyStore: undefined,
      profilePath,
      modulePath: this.#interposer?.modulePath,
      tokenLabel,
      pinFile: this.pinFile,
      notesFolder: this.notesFolder,
      socketPath: this.socketPath,
      provision: undefined,
      ...changes,
    };
  }

  /** Forks a host and configures it. */
  start(changes: Partial<TokenHostConfig> = {}, entry = 'host-entry.mjs'): Host {
    const host = new Host(this, this.config(changes), entry);
    this.#hosts.push(host);
    return host;
  }

  /** Ends every host and removes the folder. */
  async remove(): Promise<void> {
    for (const host of this.#hosts) await host.kill();
    this.#interposer?.close();
    rmSync(this.home, { recursive: true, force: true });
  }
}

export class Host {
  readonly child: ChildProcess;
  readonly messages: FromTokenHost[] = [];
  readonly stderr: string[] = [];
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;

  constructor(store: SoftStore, config: TokenHostConfig, entry: string) {
    this.child = fork(resolve('test/token', entry), [], {
      env: { PATH: process.env['PATH'], SOFTHSM2_CONF: store.conf },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: [],
    });
    this.child.on('message', (message) => this.messages.push(message as FromTokenHost));
    this.child.stderr?.on('data', (chunk: Buffer) => this.stderr.push(chunk.toString()));
    const ended = this.child.stderr === null ? undefined : once(this.child.stderr, 'close');
    this.exit = once(this.child, 'exit').then(async ([code, signal]) => {
      await ended;
      return { code: code as number | null, signal: signal as NodeJS.Signals | null };
    });
    this.child.send({ type: 'configure', config });
  }

  /** The first message; throws when the host ends without one. */
  async said(): Promise<FromTokenHost> {
    if (this.messages.length === 0) await Promise.race([once(this.child, 'message'), this.exit]);
    const [message] = this.messages;
    if (message === undefined) throw new Error(`the host said nothing: ${this.stderr.join('')}`);
    return message;
  }

  async ready(): Promise<this> {
    const message = await this.said();
    if (message.type === 'trouble') throw new Error(message.trouble.what);
    if (message.type !== 'ready') throw new Error(`${message.code}: ${message.message}`);
    return this;
  }

  signal(name: NodeJS.Signals): void {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(name);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exit;
  }
}

export function clientOf(store: SoftStore, changes: Partial<AccountOptions> = {}): AccountToken {
  return connectAccount({
    socketPath: store.socketPath,
    deadlineMs: 20_000,
    clock: systemClock,
    onOverrun: () => undefined,
    ...changes,
  });
}
