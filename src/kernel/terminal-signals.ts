// What a child of the supervisor does about signals: it leaves when it is told to or when its channel closes, and not before.

/**
 * A terminal and a service manager signal the whole process group; a child that followed would drop requests that the supervisor
 * is about to drain. SIGKILL still works, and a supervisor that dies closes the channel.
 */
export function ignoreTerminalSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
}
