// Signals that end the daemon: the first asks it to drain, a later one no longer waits. SIGHUP is one unless there is something to read again.
import type { MonotonicClock } from '../kernel/clock.js';

/** npm and a terminal both deliver the same Ctrl-C; what comes within this time of the first is its echo. */
const echoMs = 1_000;

/**
 * Calls `drain` once, then `force` for every further signal; for SIGHUP `reload`, where there is one. Returns a function that takes the
 * handlers away.
 */
export function onSignals(
  drain: (signal: string) => void,
  force: (signal: string) => void,
  reload: (() => void) | undefined,
  clock: MonotonicClock,
): () => void {
  let drainingSince: number | undefined;
  const handle = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGHUP' && reload !== undefined) {
      reload();
      return;
    }
    if (drainingSince === undefined) {
      drainingSince = clock.monotonicMs();
      drain(signal);
    } else if (clock.monotonicMs() - drainingSince > echoMs) {
      force(signal);
    }
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, handle);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}
