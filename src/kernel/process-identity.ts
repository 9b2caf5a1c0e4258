// Which process it was: a pid alone is used again, so that what is on disk about a process names it by pid, start and boot.
import { readFileSync } from 'node:fs';

/** `pid-start-boot`. Undefined when the process is gone or a zombie, which does nothing more. */
export function identityOf(pid: number): string | undefined {
  try {
    // proc(5): field 2 may hold spaces and parentheses, so count from the last one; 3 is the state, 22 the start time.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return `${pid}-${fields[19] ?? ''}-${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8)}`;
  } catch {
    return undefined;
  }
}

export const pidOf = (identity: string): number => Number(identity.split('-', 1)[0]);

export const lives = (identity: string): boolean => identityOf(pidOf(identity)) === identity;
