// Children that outlived a killed supervisor. Each child's identity is on disk before it is told anything, and a new supervisor starts
// no process until all of them are gone: two writers on one audit lane, or two hosts on one socket, never meet.
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { identityOf, lives, pidOf } from '../kernel/process-identity.js';
import type { Timers } from '../kernel/timers.js';

/** Identities are names of empty files: even a disk without a free block takes one. */
const suffix = '.child';
const pollMs = 20;

/** Remembers a child that was just started and returns its identity. `runFolder`: $home/run. Throws what the file system says. */
export function recordChild(runFolder: string, pid: number): string | undefined {
  const identity = identityOf(pid);
  if (identity !== undefined) writeFileSync(join(runFolder, `${identity}${suffix}`), '', { mode: 0o600, flag: 'wx' });
  return identity;
}

export function forgetChild(runFolder: string, identity: string): void {
  rmSync(join(runFolder, `${identity}${suffix}`), { force: true });
}

/**
 * Waits for the children of a supervisor that died: they leave by themselves when their channel closes. One that has not left after
 * `graceMs` hangs in a native call, which only SIGKILL ends. Returns how many had to be killed.
 */
export async function awaitOrphans(runFolder: string, timers: Timers, graceMs = 5_000): Promise<number> {
  const orphans = readdirSync(runFolder)
    .filter((name) => name.endsWith(suffix))
    .map((name) => name.slice(0, -suffix.length));
  for (let waitedMs = 0; waitedMs < graceMs && orphans.some(lives); waitedMs += pollMs) await timers.sleep(pollMs);
  const stuck = orphans.filter(lives);
  for (const identity of stuck) process.kill(pidOf(identity), 'SIGKILL');
  while (stuck.some(lives)) await timers.sleep(pollMs);
  for (const identity of orphans) forgetChild(runFolder, identity);
  return stuck.length;
}
