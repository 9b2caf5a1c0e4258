// Work that is due from time to time (deletion, reconcile …), done by one process at a time over all gateways and hosts: the holder of
// the lease runs it. A job never overlaps itself and never keeps the process alive.
import type { MonotonicClock } from '../kernel/clock.js';
import type { Cancel, Timers } from '../kernel/timers.js';
import type { Lease, LeaseStore } from '../ports/store.js';
import type { Log } from './log.js';

export interface JobOptions {
  readonly name: string;
  readonly everyMs: number;
  readonly leases: LeaseStore;
  /** Names this process among all that share the store. */
  readonly holder: string;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** What it writes is to be refused once the lease has run out. */
  readonly run: (lease: Lease) => Promise<void>;
  readonly log: Log;
}

export interface Job {
  /** Starts nothing any more and resolves when the current run has ended. */
  stop(): Promise<void>;
}

/**
 * Runs the job now and then every `everyMs` from start to start; a run that takes longer is followed by the next at once. A failed run
 * is logged and tried again at its next turn.
 */
export function runJob(options: JobOptions): Job {
  const { name, everyMs, leases, holder, clock, log, timers } = options;
  // A holder that dies delays the job by no more than this; one that works longer renews it.
  const ttlMs = Math.max(2 * everyMs, 10_000);
  let stopped = false;
  let cancelNext: Cancel = () => undefined;
  let current = turn();

  async function turn(): Promise<void> {
    const startedMs = clock.monotonicMs();
    try {
      const lease = await leases.take(name, holder, ttlMs);
      if (lease !== undefined) await withLease(lease);
    } catch (error) {
      log.error(`job ${name} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (stopped) return;
    cancelNext = timers.after(Math.max(0, everyMs - (clock.monotonicMs() - startedMs)), () => {
      current = turn();
    });
  }

  async function withLease(lease: Lease): Promise<void> {
    const cancelRenewal = timers.every(ttlMs / 3, () => {
      leases.take(name, holder, ttlMs).catch((error: unknown) => log.warn(`job ${name}: lease: ${String(error)}`));
    });
    try {
      await options.run(lease);
    } finally {
      cancelRenewal();
    }
  }

  return {
    async stop() {
      stopped = true;
      cancelNext();
      await current;
    },
  };
}
