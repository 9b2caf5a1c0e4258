// Which process it was: a pid alone is used again, so that what is on disk about a process names it by pid, start and boot.
import { readFileSync } from 'node:fs';

export interface Birth {
  /** In ticks since the boot. */
  readonly start: string;
  readonly boot: string;
}

/** Undefined when the process is gone or a zombie, which does nothing more. */
export function birthOf(pid: number): Birth | undefined {
  try {
    // proc(5): field 2 may hold spaces and parentheses, so count from the last one; 3 is the state, 22 the start time.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return { start: fields[19] ?? '', boot: bootId() };
  } catch {
    return undefined;
  }
}

/** The running boot's UUID. Throws Node's error where there is no /proc. */
export const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();

/** `pid-start-boot`. Undefined as `birthOf`. */
export function identityOf(pid: number): string | undefined {
  const born = birthOf(pid);
  return born && `${pid}-${born.start}-${born.boot.slice(0, 8)}`;
}

export const pidOf = (identity: string): number => Number(identity.split('-', 1)[0]);

export const lives = (identity: string): boolean => identityOf(pidOf(identity)) === identity;
