// Connections between simulated processes: bytes arrive in order and late, and both ends hear when the other one is gone.
import type { Connect, Connection } from '../../src/token/client.js';
import type { Process } from './process.js';
import type { Schedule } from './schedule.js';

/** The end that listens. */
export interface Accepted {
  send(bytes: Buffer): void;
  close(): void;
}

export interface Listening {
  readonly process: Process;
  /** What to do with what arrives, and when the other end is gone. */
  accept(connection: Accepted): { readonly data: (bytes: Buffer) => void; readonly gone: () => void };
}

type Event = 'connect' | 'close' | 'error';

/** How a process connects to whoever listens then. */
export function connectFrom(schedule: Schedule, process: Process, listening: () => Listening | undefined): Connect {
  return (options) => {
    const listeners = new Map<Event, (() => void)[]>();
    const emit = (event: Event): void => {
      for (const listener of listeners.get(event) ?? []) listener();
    };
    let isOpen = true;
    let server: ReturnType<Listening['accept']> | undefined;
    let host: Process | undefined;
    const toHost = inOrder(schedule, () => host);
    const toClient = inOrder(schedule, () => process);
    const close = (): void => {
      if (!isOpen) return;
      isOpen = false;
      toHost(() => server?.gone());
      process.after(schedule.between(0.01, 0.5), () => emit('close'));
    };
    process.onEnd(() => toHost(() => server?.gone()));
    process.after(schedule.between(0.05, 1), () => {
      const found = listening();
      if (!isOpen) return;
      if (found?.process.isAlive !== true) {
        emit('error');
        close();
        return;
      }
      host = found.process;
      host.onEnd(() => toClient(close));
      server = found.accept({
        send(bytes) {
          const copy = Buffer.from(bytes);
          toClient(() => {
            if (!isOpen) return;
            const buffer = options.onread?.buffer as Buffer;
            for (let at = 0; at < copy.length; at += buffer.length) {
              const length = copy.copy(buffer, 0, at);
              options.onread?.callback(length, buffer);
            }
          });
        },
        close: () => toClient(close),
      });
      emit('connect');
    });
    const on = (event: Event, listener: () => void): void => {
      listeners.set(event, [...(listeners.get(event) ?? []), listener]);
    };
    return {
      on,
      once: on,
      write(bytes: Buffer, written: () => void) {
        const copy = Buffer.from(bytes);
        written();
        if (isOpen) toHost(() => server?.data(copy));
        return true;
      },
      destroy: close,
    } as unknown as Connection;
  };
}

/** What is sent first arrives first. */
export function inOrder(schedule: Schedule, to: () => Process | undefined): (arrive: () => void) => void {
  const sent: (() => void)[] = [];
  let lastAtMs = 0;
  return (arrive) => {
    sent.push(arrive);
    lastAtMs = Math.max(lastAtMs, schedule.nowMs + schedule.between(0.02, schedule.chance(0.03) ? 40 : 0.5));
    to()?.after(lastAtMs - schedule.nowMs, () => sent.shift()?.());
  };
}
