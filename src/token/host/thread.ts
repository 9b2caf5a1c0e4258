// A further thread of the host, as the main thread has it: what it says beside its answers, and what it is told.
import { setFlagsFromString } from 'node:v8';
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads';
import type { Shared } from './shared-places.js';
import type { ThreadData, ThreadNews, ThreadOrder } from './thread-messages.js';

/** For threads that start from now on (thread-entry.ts). */
setFlagsFromString('--expose-gc');

/** Mebibytes of JavaScript: a thread holds a request, an answer, and handles. */
const resourceLimits = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 };

export type ThreadStart = Omit<ThreadData, 'shared' | 'thread' | 'port'>;

/** Undefined: it has ended. */
export type OnNews = (news: ThreadNews | undefined) => void;

export interface PoolThread {
  /** Hears at once what it has said so far. */
  hear(): void;
  /** Is read by it when it is told to (pool-memory.ts). */
  order(order: ThreadOrder): void;
}

export class TokenThread implements PoolThread {
  readonly #port: MessagePort;
  readonly #onNews: OnNews;

  constructor(start: ThreadStart, shared: Shared, thread: number, onNews: OnNews) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#onNews = onNews;
    const workerData: ThreadData = { ...start, shared, thread, port: port2 };
    const script = new URL('./thread-entry.js', import.meta.url);
    const worker = new Worker(script, { workerData, transferList: [port2], resourceLimits });
    port1.on('message', onNews);
    // The process is kept by its server, not by its threads.
    worker.unref();
    port1.unref();
    worker.on('error', () => undefined);
    worker.on('exit', () => {
      this.hear();
      port1.close();
      onNews(undefined);
    });
  }

  hear(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: ThreadNews } | undefined;
      if (received === undefined) return;
      this.#onNews(received.message);
    }
  }

  order(order: ThreadOrder): void {
    this.#port.postMessage(order);
  }
}
