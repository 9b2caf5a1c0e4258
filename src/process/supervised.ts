// One child process that is kept running: started again after a jittered, growing pause whenever it dies, until it is stopped.
import type { ChildProcess, SendHandle } from 'node:child_process';
import type { MonotonicClock } from '../kernel/clock.js';
import type { Random } from '../kernel/random.js';
import type { Cancel, Timers } from '../kernel/timers.js';
import { type Backoff, createBackoff } from './backoff.js';
import type { Log } from './log.js';
import { forgetChild, recordChild } from './orphans.js';

export interface SupervisedOptions<Out> {
  /** For the log: `gateway 0`, `token host us-east-1`. */
  readonly name: string;
  readonly runFolder: string;
  readonly log: Log;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  readonly random: Random;
  /** What it throws is the end of a process that never was: another attempt follows. */
  readonly fork: () => ChildProcess;
  /** A process that is neither ready nor gone by then hangs, and is ended. Undefined: it may wait for others. */
  readonly startDeadlineMs?: number;
  /** Called for each new process, before it has said anything. */
  readonly onStart: () => void;
  readonly onMessage: (message: Out) => void;
  /** Called when a process is gone, for whatever reason. */
  readonly onExit: () => void;
}

export class Supervised<In extends object, Out> {
  readonly #options: SupervisedOptions<Out>;
  readonly #backoff: Backoff;
  readonly #waiting: (() => void)[] = [];
  #child: ChildProcess | undefined;
  #identity: string | undefined;
  #readyAt: number | undefined;
  #cancelOverdue: Cancel = () => undefined;
  /** Ends the pause before the next process. */
  readonly #ending = new AbortController();
  #stopped = false;

  constructor(options: SupervisedOptions<Out>) {
    this.#options = options;
    this.#backoff = createBackoff(() => options.random.bytes(4).readUInt32BE() / 2 ** 32);
  }

  start(): void {
    this.#readyAt = undefined;
    const child = this.#forked();
    if (child === undefined) return;
    this.#child = child;
    // A process that could not be started reports an error and never exits; one that was, exits.
    child.on('error', (error) => {
      if (this.#child === child && child.pid === undefined) this.#gone(error.message);
    });
    child.on('exit', (code, signal) => {
      if (this.#child === child) this.#gone(signal ?? `exit code ${code ?? 'unknown'}`);
    });
    child.on('message', (message) => {
      if (this.#child === child) this.#options.onMessage(message as Out);
    });
    if (child.pid !== undefined) this.#started(child.pid);
  }

  /** Dropped when the process is away: the next process is told the state afresh. `handle`: a socket, of which it gets a copy. */
  send(message: In, handle?: SendHandle): void {
    // A child that died a moment ago: its exit event follows and says so.
    if (this.#child?.connected === true) this.#child.send(message, handle, () => undefined);
  }

  /** Tells the back-off that this process works. */
  markReady(): void {
    this.#readyAt = this.#options.clock.monotonicMs();
    this.#cancelOverdue();
  }

  /** SIGKILL: the only thing that ends a hung native call. A new process follows unless it was stopped. */
  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  /** Sends `message`, starts nothing any more, resolves when the process is gone. */
  async stop(message: In): Promise<void> {
    this.#stopped = true;
    this.#ending.abort();
    if (this.#child === undefined) return;
    const exit = new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.send(message);
    await exit;
  }

  /** Undefined when there is none: it counts as one that died at once. */
  #forked(): ChildProcess | undefined {
    try {
      return this.#options.fork();
    } catch (error) {
      this.#gone(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  #started(pid: number): void {
    const { name, log, runFolder, timers, startDeadlineMs, onStart } = this.#options;
    this.#attempt(() => {
      this.#identity = recordChild(runFolder, pid);
    });
    log.debug(`${name} started`, { pid });
    if (startDeadlineMs !== undefined) {
      this.#cancelOverdue = timers.after(startDeadlineMs, () => {
        log.error(`${name} was not ready after ${startDeadlineMs} ms: ending it`);
        this.kill();
      });
    }
    onStart();
  }

  #gone(how: string): void {
    const { name, log, runFolder, clock, timers } = this.#options;
    const identity = this.#identity;
    if (identity !== undefined) this.#attempt(() => forgetChild(runFolder, identity));
    this.#identity = undefined;
    this.#child = undefined;
    this.#cancelOverdue();
    this.#options.onExit();
    if (!this.#stopped) {
      const pauseMs = this.#backoff.next(this.#readyAt === undefined ? 0 : clock.monotonicMs() - this.#readyAt);
      log.warn(`${name} ended (${how}): starting it again in ${pauseMs} ms`);
      // It keeps the supervisor alive: between two children nothing else may.
      timers.sleep(pauseMs, this.#ending.signal).then(
        () => this.start(),
        () => undefined,
      );
    }
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** The record only matters to a successor: a full disk must not keep a process from being started again. */
  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.log.warn(`${this.#options.name}: cannot keep its record: ${String(error)}`);
    }
  }
}
