// The real daemon (dist/main.js) in a home of its own, with clients for it. Whatever a test does, no process it started outlives the
// test's own process, and `clean` fails when one had to be ended by force.
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { KMSClient, type KMSClientConfig } from '@aws-sdk/client-kms';

export type Role = 'supervisor' | 'gateway' | 'token-host';
export type Environment = Readonly<Record<string, string>>;
export type Profile = 'default' | 'second-account';

export interface DaemonProcess {
  readonly role: Role;
  readonly pid: number;
  /** Of a token host. */
  readonly region: string | undefined;
}

export interface StartOptions {
  readonly env?: Environment;
  /** Added to the clock of the daemon and of its clients. */
  readonly shiftMs?: number;
  /** URLs of modules that every process of the daemon loads first. */
  readonly preload?: readonly string[];
}

export const accountOf = { default: '000000000000', 'second-account': '111122223333' } as const;

const program = resolve('dist/main.js');
const readyMark = 'hsm-bridge is ready';
/** A test fails with what the daemon said before its own time limit ends it without. */
const patienceMs = 60_000;
const living = new Set<TestDaemon>();
process.on('exit', () => living.forEach((daemon) => daemon.killAll()));

export class TestDaemon {
  readonly home: string;
  readonly #clients: KMSClient[] = [];
  #run: Run | undefined;
  #devEnv: Environment = {};
  #shiftMs = 0;

  constructor(home = mkdtempSync(join(tmpdir(), 'hsm-bridge-whole-'))) {
    if (!existsSync(program)) throw new Error(`${program} is missing: run scripts/setup first`);
    this.home = home;
    living.add(this);
  }

  static async started(options: StartOptions = {}): Promise<TestDaemon> {
    const daemon = new TestDaemon();
    await daemon.start(options);
    return daemon;
  }

  /** Resolves when it serves; throws with all it said when it ends before. */
  async start(options: StartOptions = {}): Promise<void> {
    const run = this.launch(options);
    await until(
      () => run.output().includes(readyMark) || run.code !== undefined,
      () => `the daemon is not ready:\n${this.said()}`,
    );
    if (run.code !== undefined) throw new Error(`the daemon ended with ${run.code}:\n${this.said()}`);
    this.#devEnv = readEnv(join(this.home, 'dev.env'));
  }

  /** Starts the process and does not wait. */
  launch({ env = {}, shiftMs = 0, preload = [] }: StartOptions = {}): Run {
    const modules = shiftMs === 0 ? preload : [preloadUrl('shift-clock.mjs', { ms: String(shiftMs) }), ...preload];
    this.#shiftMs = shiftMs;
    this.#run = new Run(this.home, {
      ...bareEnvironment(),
      HSM_BRIDGE_HOME: this.home,
      HSM_BRIDGE_PORT: '0',
      HSM_BRIDGE_ADMIN_PORT: '0',
      ...(modules.length === 0 ? {} : { NODE_OPTIONS: modules.map((url) => `--import=${url}`).join(' ') }),
      ...env,
    });
    return this.#run;
  }

  /** What its operator types when the clock, which runs `shiftMs` ahead, is right. */
  confirmClock(shiftMs: number): string {
    const shift = preloadUrl('shift-clock.mjs', { ms: String(shiftMs) });
    const words = [`--import=${shift}`, program, 'confirm-clock', '--home', this.home];
    return execFileSync(process.execPath, words, { env: bareEnvironment(), encoding: 'utf8' });
  }

  get run(): Run {
    if (this.#run === undefined) throw new Error('the daemon was not started');
    return this.#run;
  }

  /** What dev.env said when the daemon became ready. */
  get env(): Environment {
    return this.#devEnv;
  }

  get endpoint(): URL {
    return new URL(this.env['AWS_ENDPOINT_URL_KMS'] ?? '');
  }

  said(): string {
    return this.run.output() + this.run.errors();
  }

  credentials(profile: Profile = 'default'): { accessKeyId: string; secretAccessKey: string } {
    const text = readFileSync(join(this.home, 'credentials'), 'utf8');
    const section = text.split(/^\[/m).find((part) => part.startsWith(`${profile}]`)) ?? '';
    const value = (name: string): string => new RegExp(`^${name} = (.+)$`, 'm').exec(section)?.[1] ?? '';
    return { accessKeyId: value('aws_access_key_id'), secretAccessKey: value('aws_secret_access_key') };
  }

  /** An SDK client; it retries nothing unless told to. */
  client(region = 'us-east-1', profile: Profile = 'default', config: KMSClientConfig = {}): KMSClient {
    const client = new KMSClient({
      endpoint: this.endpoint.href,
      region,
      credentials: this.credentials(profile),
      maxAttempts: 1,
      systemClockOffset: this.#shiftMs,
      ...config,
    });
    this.#clients.push(client);
    return client;
  }

  /** The environment of a user who sourced dev.env and has nothing else of AWS. */
  userEnvironment(changes: Environment = {}): Environment {
    return { ...bareEnvironment(), HOME: this.home, ...this.env, ...changes };
  }

  /** GET on the admin port. */
  async admin(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const response = await fetch(new URL(path, this.env['HSM_BRIDGE_ADMIN_URL']));
    return { status: response.status, text: await response.text() };
  }

  /** Every living process of this daemon, orphans of earlier starts too. */
  processes(): readonly DaemonProcess[] {
    const children = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => childOf(this.home, Number(name)) ?? []);
    const pid = this.#run?.child.pid;
    const supervisor = pid !== undefined && lives(pid) ? [{ role: 'supervisor', pid, region: undefined } as const] : [];
    return [...supervisor, ...children];
  }

  pids(role: Role, region?: string): readonly number[] {
    return this.processes()
      .filter((process) => process.role === role && (region === undefined || process.region === region))
      .map(({ pid }) => pid);
  }

  /** SIGKILL; returns how many processes that ended. */
  kill(role: Role, region?: string): number {
    return this.pids(role, region).filter((pid) => killHard(pid)).length;
  }

  killAll(): number {
    return this.processes().filter(({ pid }) => killHard(pid)).length;
  }

  /** SIGKILLs all processes, and waits for them to be gone. */
  async crash(): Promise<void> {
    this.forgetClients();
    await until(
      () => {
        this.killAll();
        return this.processes().length === 0;
      },
      () => `processes cannot be killed: ${JSON.stringify(this.processes())}`,
    );
  }

  /** Asks it to end; resolves with the exit code or signal once every process is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> {
    this.forgetClients();
    this.run.child.kill(signal);
    const code = await this.run.ended;
    await until(
      () => this.processes().length === 0,
      () => `left behind: ${JSON.stringify(this.processes())}\n${this.said()}`,
    );
    return code;
  }

  forgetClients(): void {
    for (const client of this.#clients.splice(0)) client.destroy();
  }

  /** Stops what runs and removes the home. Throws when the daemon did not end by itself. */
  async clean(): Promise<void> {
    this.forgetClients();
    const run = this.#run;
    if (run?.code === undefined && run !== undefined) {
      run.child.kill('SIGTERM');
      await Promise.race([run.ended, sleep(30_000)]);
      await Promise.race([this.#gone(), sleep(10_000)]);
    }
    const left = this.killAll();
    living.delete(this);
    rmSync(this.home, { recursive: true, force: true });
    if (left > 0) throw new Error(`${left} process(es) had to be killed; the daemon had said:\n${this.said()}`);
  }

  async #gone(): Promise<void> {
    while (this.processes().length > 0) await sleep(20);
  }
}

/** One start of the daemon. */
export class Run {
  readonly child: ChildProcess;
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  code: number | string | undefined;
  #output = '';
  #errors = '';

  constructor(home: string, env: Environment, words: readonly string[] = ['dev']) {
    this.child = spawn(process.execPath, [program, ...words], { cwd: home, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.ended = new Promise((done) => {
      // Not `close`: an orphan may hold the pipes open for a while.
      this.child.on('exit', (code, signal) => {
        setImmediate(() => {
          this.code = code ?? signal ?? 'unknown';
          done(this.code);
        });
      });
    });
  }

  output(): string {
    return this.#output;
  }

  errors(): string {
    return this.#errors;
  }
}

/** The URL of a module of test/support/fault; `settings` reach it as its query, since the daemon passes on no foreign variables. */
export function preloadUrl(name: string, settings: Environment = {}): string {
  const url = new URL(`fault/${name}`, import.meta.url);
  url.search = new URLSearchParams(settings).toString();
  return url.href;
}

/** The AWS CLI that scripts/setup installed, else the machine's. */
export function awsCli(): string {
  const installed = resolve('.setup/awscli/bin/aws');
  if (existsSync(installed)) return installed;
  const found = spawnSync('sh', ['-c', 'command -v aws'], { encoding: 'utf8' }).stdout.trim();
  if (found === '') throw new Error('the AWS CLI is missing: run scripts/setup --tests');
  return found;
}

/** Runs the AWS CLI; throws with what it said when it fails. Returns its output, parsed when it is JSON. */
export async function aws(env: Environment, ...words: readonly string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(awsCli(), [...words, '--output', 'json'], { env: { ...env } });
  return stdout.trim() === '' ? undefined : (JSON.parse(stdout) as unknown);
}

export function readEnv(file: string): Environment {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

/** Polls until it comes about, and says why it did not. */
export async function until(condition: () => boolean | Promise<boolean>, reason: () => string): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${condition.toString()}: ${reason()}`);
    await sleep(20);
  }
}

/** PATH and the like, and nothing of AWS or of this project that the machine may have set. */
export function bareEnvironment(): Environment {
  const kept = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'PYENV_ROOT', 'PYENV_VERSION'];
  return Object.fromEntries(
    kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

/** The daemon's children work in $home/run, whoever their parent is by now. */
function childOf(home: string, pid: number): DaemonProcess | undefined {
  try {
    if (readlinkSync(`/proc/${pid}/cwd`) !== join(home, 'run') || !lives(pid)) return undefined;
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    const role = (['gateway', 'token-host'] as const).find((name) => words.includes(name));
    if (role === undefined) return undefined;
    const region = /\/tokens\/([a-z0-9-]+)\//.exec(readFileSync(`/proc/${pid}/environ`, 'utf8'))?.[1];
    return { role, pid, region };
  } catch {
    // Gone while it was looked at.
    return undefined;
  }
}

/** False for a process that is gone or waits for its parent to notice. */
function lives(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function killHard(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
}
