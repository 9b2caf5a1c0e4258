// One writer per lane: the highest `lock-<generation>` mark names the process that holds it. A mark of a process that is gone is
// superseded by the next generation, never taken over, so two processes that see it together cannot both win.
import { type Disk, hasCode } from '../kernel/disk.js';
import { birthOf } from '../kernel/process-identity.js';
import type { Timers } from '../kernel/timers.js';
import { listMarks, markPath } from './segment.js';

export class AuditInUseError extends Error {
  constructor(lane: number, owner: string) {
    super(`The audit log of lane ${lane} is in use by process ${owner}.`);
    this.name = 'AuditInUseError';
  }
}

export interface LaneLock {
  release(): Promise<void>;
}

/** How processes are told apart; a simulation has many in one. */
export interface Processes {
  /** Of this process, among all that ever ran on this machine; it goes into a mark. */
  readonly self: string;
  readonly isAlive: (owner: string) => boolean;
}

export const lockMark = 'lock';
const released = 'released';
const pollMs = 50;

/** Waits up to `waitMs` for a predecessor to end; then AuditInUseError. Processes of other PID namespaces are not seen as alive. */
export async function lockLane(
  disk: Disk,
  timers: Timers,
  directory: string,
  lane: number,
  waitMs: number,
  { self, isAlive }: Processes = systemProcesses(),
): Promise<LaneLock> {
  for (let waitedMs = 0; ;) {
    const top = (await listMarks(disk, directory, lockMark)).at(-1) ?? 0;
    const owner = top === 0 ? released : await readOwner(disk, markPath(directory, lockMark, top));
    if (owner === undefined) continue;
    if (isAlive(owner)) {
      if (waitedMs >= waitMs) throw new AuditInUseError(lane, owner.split('.')[0] ?? '');
      await timers.sleep(pollMs);
      waitedMs += pollMs;
      continue;
    }
    const generation = top + 1;
    if (!(await disk.mark(markPath(directory, lockMark, generation), self))) continue;
    const marks = await listMarks(disk, directory, lockMark);
    if (marks.at(-1) !== generation) {
      // Somebody went past this generation and had swept it away before it was marked here.
      await disk.remove(markPath(directory, lockMark, generation));
      continue;
    }
    for (const old of marks.slice(0, -1)) await disk.remove(markPath(directory, lockMark, old));
    return { release: () => release(disk, directory, generation) };
  }
}

/** The generation goes on counting, so that a process that still looks at an older one cannot win it. */
async function release(disk: Disk, directory: string, generation: number): Promise<void> {
  try {
    await disk.mark(markPath(directory, lockMark, generation + 1), released);
  } finally {
    await disk.remove(markPath(directory, lockMark, generation));
  }
}

/** Undefined: swept away meanwhile. */
async function readOwner(disk: Disk, path: string): Promise<string | undefined> {
  try {
    return await disk.readMark(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

const systemProcesses = (): Processes => ({
  self: describe(process.pid),
  isAlive(owner) {
    const pid = Number(owner.split('.')[0]);
    return Number.isInteger(pid) && pid > 0 && describe(pid) === owner;
  },
});

/** pid.start.boot. Without /proc all processes look alike: then no mark is ever superseded. */
function describe(pid: number): string {
  const { start, boot } = birthOf(pid) ?? { start: 'gone', boot: '' };
  return `${pid}.${start}.${boot.replaceAll('-', '')}`;
}
