// The time in which a lane cannot be written: cut back, say so with the last room on the disk, then try again until a new segment begins.
import type { Disk } from '../kernel/disk.js';
import type { Random } from '../kernel/random.js';
import type { Cancel, Timers } from '../kernel/timers.js';
import { makeReserve, releaseReserve } from './reserve.js';
import { type ServiceEventName, timestamp } from './service-event.js';

/** What must be free beyond the reserve before the lane goes on; otherwise the room just given up would end the suspension at once. */
const headroomBytes = 768 * 1024;

export interface SuspensionOptions {
  readonly cause: unknown;
  readonly atMs: number;
  readonly probeMs: number;
  readonly timers: Timers;
  readonly random: Random;
  readonly disk: Disk;
  readonly directory: string;
  /** Cuts away what is not durable. */
  readonly repair: () => Promise<void>;
  /** Writes a record of the log's own as the first of a new segment, durable when it resolves. */
  readonly write: (eventName: ServiceEventName, details: Readonly<Record<string, unknown>>) => Promise<void>;
  /** The lane is writable again; `unreported` refusals came too late for the record that said so. */
  readonly resumed: (unreported: number) => void;
}

export class Suspension {
  readonly reason: string;
  refusedCalls = 0;
  rejectedRecords = 0;
  readonly #options: SuspensionOptions;
  #cancelNext: Cancel = () => undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: SuspensionOptions) {
    this.#options = options;
    this.reason = errorCode(options.cause);
  }

  begin(): void {
    this.#run(() => this.#announce());
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelNext();
    await this.#running;
  }

  /** `attempt` resolves with true when the suspension is over. */
  #run(attempt: () => Promise<boolean>): void {
    this.#running = attempt()
      // What the disk refuses now is tried again; AuditResumed tells about it.
      .catch(() => false)
      .then((over) => {
        this.#running = undefined;
        if (over || this.#stopped) return;
        const { timers, probeMs } = this.#options;
        this.#cancelNext = timers.after(probeMs, () => this.#run(() => this.#tryAgain()));
      });
  }

  async #announce(): Promise<boolean> {
    const { repair, disk, directory, write } = this.#options;
    await repair();
    await releaseReserve(disk, directory);
    await write('AuditSuspended', { reason: this.reason });
    return false;
  }

  async #tryAgain(): Promise<boolean> {
    const { repair, disk, random, directory, write, atMs, resumed } = this.#options;
    await repair();
    await makeReserve(disk, random, directory, headroomBytes);
    const { reason, refusedCalls, rejectedRecords } = this;
    await write('AuditResumed', { reason, suspendedAt: timestamp(atMs), refusedCalls, rejectedRecords });
    resumed(this.rejectedRecords - rejectedRecords);
    return true;
  }
}

/** An error code of the operating system, which names no path. */
function errorCode(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]{1,40}$/.test(code) ? code : 'unknown';
}
