// A further thread of the host, as the main thread has it: one request at a time goes in, and what it says of it comes out.
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import type { MonotonicClock } from '../../kernel/clock.js';
import { threadBuffers, ThreadMemory, type ThreadRequest } from './thread-memory.js';
import type { ThreadData, ThreadNews, ThreadOrder } from './thread-messages.js';

/** Mebibytes of JavaScript: a thread holds a request, an answer, and handles. */
const resourceLimits = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 };

export type ThreadStart = Omit<ThreadData, 'buffers' | 'orders'>;

export class TokenThread<Request extends ThreadRequest> {
  readonly #worker: Worker;
  readonly #memory: ThreadMemory;
  readonly #orders: MessagePort;
  readonly #clock: MonotonicClock;
  #request: Request | undefined;
  #sinceMs = 0;

  /** `heard` is called for whatever the thread says; without news: it has ended unasked. */
  constructor(
    start: ThreadStart,
    clock: MonotonicClock,
    heard: (thread: TokenThread<Request>, news: ThreadNews | undefined) => void,
  ) {
    const buffers = threadBuffers();
    const { port1, port2 } = new MessageChannel();
    this.#memory = new ThreadMemory(buffers);
    this.#orders = port1;
    this.#clock = clock;
    const workerData: ThreadData = { ...start, buffers, orders: port2 };
    const script = new URL('./thread-entry.js', import.meta.url);
    this.#worker = new Worker(script, { workerData, transferList: [port2], resourceLimits });
    // The process is kept by its server, not by its threads.
    this.#worker.unref();
    port1.unref();
    this.#worker.on('message', (news: ThreadNews) => heard(this, news));
    this.#worker.on('error', () => undefined);
    this.#worker.on('exit', () => heard(this, undefined));
  }

  /** What it is performing. */
  get request(): Request | undefined {
    return this.#request;
  }

  /** For how long it has been performing it. */
  get busyMs(): number {
    return this.#request === undefined ? 0 : this.#clock.monotonicMs() - this.#sinceMs;
  }

  /** Only when it performs nothing. What an order says counts from then on. */
  perform(request: Request, order?: ThreadOrder): void {
    this.#request = request;
    this.#sinceMs = this.#clock.monotonicMs();
    if (order !== undefined) this.order(order);
    this.#memory.wake(request);
  }

  /** Heard before the next request is performed, and at once when it performs none. */
  order(order: ThreadOrder): void {
    this.#orders.postMessage(order);
    this.#memory.wake();
  }

  /** The request is over. */
  release(): void {
    this.#request?.payload.fill(0);
    this.#request = undefined;
  }

  takeAnswer(): { readonly status: number; readonly payload: Buffer } {
    return this.#memory.takeAnswer();
  }
}
