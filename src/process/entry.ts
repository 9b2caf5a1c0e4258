// How children are started: the same program with another role as its only argument; all else goes through the process channel.
import { type ChildProcess, fork } from 'node:child_process';
import cluster from 'node:cluster';

export interface ChildEntry {
  /** Absolute path of the program, `dist/main.js`. */
  readonly script: string;
  readonly gatewayArguments: readonly string[];
  readonly tokenHostArguments: readonly string[];
}

type Stdio = ('ignore' | 'inherit' | 'ipc')[];
const stdio: Stdio = ['ignore', 'inherit', 'inherit', 'ipc'];

/** The helper threads of V8 and libuv would keep an arena each, 10 MB in all, that they hardly use (mallopt(3), M_ARENA_MAX). */
const gatewayEnvironment = { MALLOC_ARENA_MAX: '1' };

/**
 * A function that starts gateways as cluster workers: they share one listening socket and accept from it directly (SCHED_NONE), so
 * no request passes through this process. `cwd`: $home/run, so that socket paths stay below the 107 bytes of sockaddr_un.
 */
export function gatewayForker(entry: ChildEntry, cwd: string): () => ChildProcess {
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  cluster.setupPrimary({ exec: entry.script, args: [...entry.gatewayArguments], cwd, stdio });
  return () => {
    const worker = cluster.fork(gatewayEnvironment);
    // The process's own error event is listened to; the worker repeats it and would throw.
    worker.on('error', () => undefined);
    return worker.process;
  };
}

/** Its PIN must not end in a core dump. The shell becomes the host: one process, one pid, the same channel. */
const shell = {
  execPath: '/bin/sh',
  // What a shell exports by itself is not the host's.
  execArgv: ['-c', 'ulimit -c 0 && unset PWD OLDPWD SHLVL && exec "$@"', 'sh', process.execPath, ...process.execArgv],
};

/** Starts a token host with exactly this environment: nothing of ours leaks into a vendor's library. */
export function forkTokenHost(
  entry: ChildEntry,
  cwd: string,
  environment: Readonly<Record<string, string>>,
): ChildProcess {
  return fork(entry.script, [...entry.tokenHostArguments], { cwd, stdio, env: { ...environment }, ...shell });
}
