// Starts the real supervisor over stand-in children in a folder of its own, and knows at the end whether every process is gone.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect } from 'vitest';

export interface ChildEvent {
  readonly pid: number;
  readonly role: 'gateway' | 'token-host';
  readonly start?: true;
  readonly cwd?: string;
  readonly umask?: number;
  readonly environment?: Readonly<Record<string, string>>;
  readonly argv?: readonly string[];
  readonly ready?: string;
  readonly serving?: true;
  readonly signal?: string;
  readonly heard?: {
    readonly type: string;
    readonly region?: string;
    readonly listener?: string;
    readonly broken?: boolean;
    readonly code?: string;
    readonly config?: Record<string, unknown>;
  };
}

export interface Daemon {
  readonly process: ChildProcess;
  readonly output: () => string;
  readonly errors: () => string;
  /** The exit code, or the signal that ended it, once its children have closed its output too. */
  readonly ended: Promise<number | string>;
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

export interface Place {
  readonly home: string;
  readonly control: string;
  start(settings?: object, environment?: NodeJS.ProcessEnv): Daemon;
  events(): readonly ChildEvent[];
  starts(role: ChildEvent['role']): readonly ChildEvent[];
  /** Makes a switch for the stand-in children; `false` takes it away. */
  turn(name: string, content?: string | false): void;
  devEnv(): Readonly<Record<string, string>>;
  ready(): Promise<Readonly<Record<string, string>>>;
  /** What a gateway answers to GET. */
  ask(path: string): Promise<string>;
  expectNothingLeft(): void;
  /** Ends what a failed test left and removes the folder. */
  clean(): Promise<void>;
}

export function makePlace(): Place {
  const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-process-'));
  const home = join(folder, 'home');
  const control = join(folder, 'control');
  mkdirSync(control);
  const daemons: Daemon[] = [];
  const events = (): readonly ChildEvent[] => {
    const file = join(control, 'events');
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as ChildEvent);
  };
  const devEnv = (): Readonly<Record<string, string>> => readEnv(join(home, 'dev.env'));
  return {
    home,
    control,
    events,
    devEnv,
    start(settings = {}, environment = process.env) {
      const daemon = startNode(
        [join(import.meta.dirname, 'fixtures/daemon.mjs'), JSON.stringify({ home, control, ...settings })],
        environment,
      );
      daemons.push(daemon);
      return daemon;
    },
    starts: (role) => events().filter((event) => event.start === true && event.role === role),
    turn(name, content = '') {
      if (content === false) rmSync(join(control, name), { force: true });
      else writeFileSync(join(control, name), content);
    },
    async ready() {
      await until(
        () => existsSync(join(home, 'dev.env')),
        () => daemons.map((daemon) => daemon.errors()).join('\n'),
      );
      return devEnv();
    },
    async ask(path) {
      const response = await fetch(new URL(path, devEnv()['AWS_ENDPOINT_URL_KMS']));
      return response.text();
    },
    expectNothingLeft() {
      expect(existsSync(join(home, 'dev.env'))).toBe(false);
      expect(readdirSync(join(home, 'run'))).toEqual([]);
      expect(events().filter(({ pid }) => lives(pid))).toEqual([]);
    },
    async clean() {
      for (const daemon of daemons) daemon.process.kill('SIGKILL');
      for (const { pid } of events()) if (lives(pid)) process.kill(pid, 'SIGKILL');
      await Promise.all(daemons.map(({ ended }) => ended));
      rmSync(folder, { recursive: true });
    },
  };
}

/** A place of its own for each test of the file. */
export function placePerTest(use: (place: Place) => void): void {
  let place: Place;
  beforeEach(() => use((place = makePlace())));
  afterEach(() => place.clean());
}

export function startNode(words: readonly string[], environment: NodeJS.ProcessEnv, cwd = process.cwd()): Daemon {
  // A process group of its own, as a shell gives each job.
  const child = spawn(process.execPath, [...words], {
    env: environment,
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const text = { output: '', errors: '' };
  child.stdout.on('data', (chunk: Buffer) => (text.output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text.errors += chunk.toString()));
  const ended = new Promise<number | string>((resolve) => {
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  return {
    process: child,
    output: () => text.output,
    errors: () => text.errors,
    ended,
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}

export function readEnv(file: string): Readonly<Record<string, string>> {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

/** Polls; how long it may take is the test's own time limit. Gives up early so that the reason is shown. */
export async function until(condition: () => boolean | Promise<boolean>, reason = (): string => ''): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`it did not come about: ${condition.toString()}\n${reason()}`);
    await sleep(15);
  }
}

/** False for a process that is gone or waits for its parent to notice. */
export function lives(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/\) [ZX] /.test(stat);
  } catch {
    return false;
  }
}
