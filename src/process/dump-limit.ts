// The supervisor's own limit on core dumps. Its children have theirs from the shell that becomes them; this process was started by others,
// and Node cannot lower a limit.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Log } from './log.js';

const closed = /^Max core file size +0 +0 /m;

/** Lowers this process's limit for good. Says so in one line when neither that nor the filter of no-core.ts could be had. */
export function forbidDumps(log: Log): void {
  try {
    if (closed.test(readFileSync('/proc/self/limits', 'latin1'))) return;
    spawnSync('prlimit', ['--core=0:0', `--pid=${process.pid}`], { stdio: 'ignore' });
    if (closed.test(readFileSync('/proc/self/limits', 'latin1'))) return;
    if (/^0+$/.test(readFileSync('/proc/self/coredump_filter', 'latin1').trim())) return;
  } catch {
    // Without /proc nobody can tell.
  }
  log.warn('a core dump of the supervisor would hold root access keys: start it with `ulimit -c 0`');
}
