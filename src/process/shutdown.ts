// Signals that end the daemon: the first asks it to drain, a later one no longer waits. SIGHUP is one unless there is something to read again.

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
): () => void {
  let drainingSince: number | undefined;
  const handle = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGHUP' && reload !== undefined) {
      reload();
      return;
    }
    if (drainingSince === undefined) {
      drainingSince = performance.now();
      drain(signal);
    } else if (performance.now() - drainingSince > echoMs) {
      force(signal);
    }
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, handle);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}
