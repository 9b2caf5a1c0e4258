// Children that outlived a killed supervisor. Each child's identity is on disk before it is told anything, and a new supervisor starts
// no process until all of them are gone: two writers on one audit lane, or two hosts on one socket, never meet.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Identities are names of empty files: even a disk without a free block takes one. */
const suffix = '.child';

/** Remembers a child that was just started and returns its identity. `runFolder`: $home/run. Throws what the file system says. */
export function recordChild(runFolder: string, pid: number): string | undefined {
  const identity = identityOf(pid);
  if (identity !== undefined) writeFileSync(join(runFolder, `${identity}${suffix}`), '', { mode: 0o600 });
  return identity;
}

export function forgetChild(runFolder: string, identity: string): void {
  rmSync(join(runFolder, `${identity}${suffix}`), { force: true });
}

/**
 * Waits for the children of a supervisor that died: they leave by themselves when their channel closes. One that has not left after
 * `graceMs` hangs in a native call, which only SIGKILL ends. Returns how many had to be killed.
 */
export async function awaitOrphans(runFolder: string, graceMs = 5_000): Promise<number> {
  const orphans = readdirSync(runFolder)
    .filter((name) => name.endsWith(suffix))
    .map((name) => name.slice(0, -suffix.length));
  const lives = (identity: string): boolean => identityOf(pidOf(identity)) === identity;
  const until = performance.now() + graceMs;
  while (orphans.some(lives) && performance.now() < until) await sleep(20);
  const stuck = orphans.filter(lives);
  for (const identity of stuck) process.kill(pidOf(identity), 'SIGKILL');
  while (stuck.some(lives)) await sleep(20);
  for (const identity of orphans) forgetChild(runFolder, identity);
  return stuck.length;
}

const pidOf = (identity: string): number => Number(identity.split('-', 1)[0]);

/** `pid-start-boot`: a pid alone is used again. Undefined when the process is gone or a zombie. */
function identityOf(pid: number): string | undefined {
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
