// How children are started: the same program with another role as its only argument; all else goes through the process channel.
import { type ChildProcess, fork } from 'node:child_process';

export interface ChildEntry {
  /** Absolute path of the program, `dist/main.js`. */
  readonly script: string;
  readonly gatewayArguments: readonly string[];
  readonly tokenHostArguments: readonly string[];
}

type Stdio = ('ignore' | 'inherit' | 'ipc')[];
const stdio: Stdio = ['ignore', 'inherit', 'inherit', 'ipc'];

/**
 * Nothing of a child's memory may end in a core dump: a PIN, secrets, plaintexts. The shell becomes the child: one process, one pid, the
 * same channel. What a shell exports by itself is not the child's.
 */
const shell = (first = '', nodeArguments: string[] = []): { execPath: string; execArgv: string[] } => ({
  execPath: '/bin/sh',
  execArgv: [
    '-c',
    `ulimit -c 0 && unset PWD OLDPWD SHLVL && ${first}exec "$@"`,
    'sh',
    process.execPath,
    ...nodeArguments,
    ...process.execArgv,
  ],
});

/**
 * The helper threads of V8 and libuv would keep an arena each, 10 MB in all, that they hardly use (mallopt(3), M_ARENA_MAX), and a token host's
 * further threads half a megabyte each.
 */
const fewArenas = { MALLOC_ARENA_MAX: '1' };
const exportFewArenas = `export MALLOC_ARENA_MAX=${fewArenas.MALLOC_ARENA_MAX} && `;

/** Mebibytes, of each half of V8's young generation: what it has grown to under load it keeps. */
const youngGeneration = '--max-semi-space-size=8';

/** `cwd`: $home/run, so that socket paths stay below the 107 bytes of sockaddr_un. */
export function forkGateway(entry: ChildEntry, cwd: string): ChildProcess {
  return fork(entry.script, [...entry.gatewayArguments], { cwd, stdio, ...shell(exportFewArenas, [youngGeneration]) });
}

/** Starts a token host with exactly this environment, and few arenas unless it says how many: nothing of ours leaks into a vendor's library. */
export function forkTokenHost(
  entry: ChildEntry,
  cwd: string,
  environment: Readonly<Record<string, string>>,
): ChildProcess {
  return fork(entry.script, [...entry.tokenHostArguments], {
    cwd,
    stdio,
    env: { ...fewArenas, ...environment },
    ...shell(),
  });
}
