// One child process that is kept running: started again after a jittered, growing pause whenever it dies, until it is stopped.
import type { ChildProcess } from 'node:child_process';
import { createBackoff } from './backoff.js';
import type { Log } from './log.js';
import { forgetChild, recordChild } from './orphans.js';

export interface SupervisedOptions<Out> {
  /** For the log: `gateway 0`, `token host us-east-1`. */
  readonly name: string;
  readonly runFolder: string;
  readonly log: Log;
  readonly fork: () => ChildProcess;
  /** Called for each new process, before it has said anything. */
  readonly onStart: () => void;
  readonly onMessage: (message: Out) => void;
  /** Called when a process is gone, for whatever reason. */
  readonly onExit: () => void;
}

export interface Supervised<In> {
  start(): void;
  /** Dropped when the process is away: whoever starts next is told the state afresh. */
  send(message: In): void;
  /** Tells the back-off that this process works. */
  markReady(): void;
  /** SIGKILL: the only thing that ends a hung native call. A new process follows unless it was stopped. */
  kill(): void;
  /** Sends `message`, starts nothing any more, resolves when the process is gone. */
  stop(message: In): Promise<void>;
}

export function supervise<In extends object, Out>(options: SupervisedOptions<Out>): Supervised<In> {
  const { name, runFolder, log } = options;
  const backoff = createBackoff();
  let child: ChildProcess | undefined;
  let identity: string | undefined;
  let readyAt: number | undefined;
  let restart: NodeJS.Timeout | undefined;
  let stopped = false;
  const waiting: (() => void)[] = [];

  // The record only matters to a successor: a full disk must not keep a process from being started again.
  const attempt = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      log.warn(`${name}: cannot keep its record: ${String(error)}`);
    }
  };

  const gone = (how: string): void => {
    if (identity !== undefined) attempt(() => forgetChild(runFolder, identity ?? ''));
    identity = undefined;
    child = undefined;
    options.onExit();
    if (!stopped) {
      const pauseMs = backoff.next(readyAt === undefined ? 0 : performance.now() - readyAt);
      log.warn(`${name} ended (${how}): starting it again in ${pauseMs} ms`);
      restart = setTimeout(start, pauseMs);
    }
    for (const resolve of waiting.splice(0)) resolve();
  };

  function start(): void {
    readyAt = undefined;
    const started = options.fork();
    child = started;
    // A process that could not be started reports an error and never exits; one that was, exits.
    started.on('error', (error) => {
      if (child === started && started.pid === undefined) gone(error.message);
    });
    started.on('exit', (code, signal) => {
      if (child === started) gone(signal ?? `exit code ${code ?? 'unknown'}`);
    });
    started.on('message', (message) => {
      if (child === started) options.onMessage(message as Out);
    });
    if (started.pid === undefined) return;
    const { pid } = started;
    attempt(() => {
      identity = recordChild(runFolder, pid);
    });
    log.debug(`${name} started`, { pid });
    options.onStart();
  }

  const send = (message: In): void => {
    // A child that died a moment ago: its exit event follows and says so.
    if (child?.connected === true) child.send(message, () => undefined);
  };

  return {
    start,
    send,
    markReady() {
      readyAt = performance.now();
    },
    kill: () => void child?.kill('SIGKILL'),
    async stop(message) {
      stopped = true;
      clearTimeout(restart);
      if (child === undefined) return;
      const exit = new Promise<void>((resolve) => waiting.push(resolve));
      send(message);
      await exit;
    },
  };
}
