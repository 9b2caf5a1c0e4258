// Waiting as the daemon does it. Only `systemTimers` asks Node; a simulation brings its own and moves them with its clock.
import { setTimeout as nodeSleep } from 'node:timers/promises';

/** Ends what it came from; harmless afterwards. */
export type Cancel = () => void;

export interface Timers {
  /** Calls once, `ms` from now. Does not keep the process alive. */
  after(ms: number, call: () => void): Cancel;
  /** Calls every `ms`. Does not keep the process alive. */
  every(ms: number, call: () => void): Cancel;
  /** Calls once what has arrived by now has been read: in the next turn of the event loop. */
  soon(call: () => void): void;
  /** Resolves `ms` later, and keeps the process alive until then. Rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Resolves in the next turn of the event loop: what has come in meanwhile goes first. */
export const turn = (timers: Timers): Promise<void> => new Promise((resolve) => timers.soon(resolve));

export const systemTimers: Timers = {
  after: (ms, call) => {
    const timer = setTimeout(call, ms).unref();
    return () => clearTimeout(timer);
  },
  every: (ms, call) => {
    const timer = setInterval(call, ms).unref();
    return () => clearInterval(timer);
  },
  soon: (call) => void setImmediate(call),
  sleep: (ms, signal) => nodeSleep(ms, undefined, signal === undefined ? undefined : { signal }),
};
