// The threads for one kind of work, and the requests that wait for one: gateways in turn, so that none is kept waiting by another's. One thread that
// hangs takes nothing from the others; when too many do, or one for too long, the process is to end, since nothing else ends a call in a library.
import type { MonotonicClock } from '../../kernel/clock.js';
import type { Cancel, Timers } from '../../kernel/timers.js';
import type { TokenThread } from './thread.js';
import type { ThreadRequest } from './thread-memory.js';
import type { ThreadNews, ThreadOrder } from './thread-messages.js';
import type { DescribedTrouble } from './trouble.js';

const lookEveryMs = 500;
/** After a thread found no session, or ended: another is tried. */
const againMs = 10_000;

export interface PoolRequest extends ThreadRequest {
  readonly id: number;
  /** Which gateway it is of. */
  readonly from: object;
}

export interface ThreadPoolOptions {
  readonly size: number;
  /** A call that takes longer hangs: its thread is counted out. */
  readonly hangsAfterMs: number;
  readonly start: (
    heard: (thread: TokenThread<PoolRequest>, news: ThreadNews | undefined) => void,
  ) => TokenThread<PoolRequest>;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** Requests that may wait; one more is refused. */
  readonly room: number;
  readonly answered: (request: PoolRequest, status: number, payload: Buffer) => void;
  readonly malformed: (request: PoolRequest) => void;
  /** The thread waits for `tell`, and does nothing else. */
  readonly asked: (thread: TokenThread<PoolRequest>, ckaId: Buffer, search: boolean) => void;
  readonly told: (news: Extract<ThreadNews, { type: 'made' | 'gone' | 'session-replaced' }>) => void;
  readonly onTrouble: (trouble: DescribedTrouble) => void;
  /** What became of it nobody knows: its thread has ended. */
  readonly failed: (request: PoolRequest) => void;
  readonly onLost: () => void;
  /** There is no thread, and these waited for one. */
  readonly onEmpty: (waiting: readonly PoolRequest[]) => void;
  /** Too much hangs. */
  readonly onHung: () => void;
}

export class ThreadPool {
  readonly #options: ThreadPoolOptions;
  readonly #starting = new Set<TokenThread<PoolRequest>>();
  readonly #threads = new Set<TokenThread<PoolRequest>>();
  readonly #idle: TokenThread<PoolRequest>[] = [];
  readonly #hung = new Set<TokenThread<PoolRequest>>();
  /** In the order of their turns. */
  readonly #queues = new Map<object, PoolRequest[]>();
  readonly #endLooking: Cancel;
  #waiting = 0;
  #startAgainAtMs = 0;
  #onStarted: (() => void) | undefined;

  constructor(options: ThreadPoolOptions) {
    this.#options = options;
    this.#endLooking = options.timers.every(lookEveryMs, () => this.#look());
  }

  /** Starts all threads, and resolves when each has its session or has found none. */
  async fill(): Promise<void> {
    while (this.#threads.size + this.#starting.size < this.#options.size) this.#startOne();
    await new Promise<void>((resolve) => (this.#onStarted = resolve));
  }

  /** False: there is no room. */
  take(request: PoolRequest): boolean {
    const thread = this.#idle.pop();
    if (thread !== undefined) thread.perform(request);
    else if (this.#waiting >= this.#options.room) return false;
    else {
      this.#enqueue(request);
      this.#startMissing();
    }
    return true;
  }

  /** The answer to what a thread asked. */
  tell(thread: TokenThread<PoolRequest>, order: ThreadOrder): void {
    if (thread.request !== undefined) thread.perform(thread.request, order);
  }

  /** To every thread. */
  order(order: ThreadOrder): void {
    for (const thread of this.#threads) thread.order(order);
  }

  /** That gateway is gone: nobody waits for what waits here. */
  forget(from: object): void {
    const queue = this.#queues.get(from) ?? [];
    this.#queues.delete(from);
    this.#waiting -= queue.length;
    for (const { payload } of queue) payload.fill(0);
  }

  get hangs(): boolean {
    return this.#hung.size > 0;
  }

  /** Whether any thread that does not hang performs something, or something waits. */
  get isBusy(): boolean {
    if (this.#waiting > 0) return true;
    for (const thread of this.#threads) if (thread.request !== undefined && !this.#hung.has(thread)) return true;
    return false;
  }

  close(): void {
    this.#endLooking();
  }

  #startMissing(): void {
    const isFull = this.#threads.size + this.#starting.size >= this.#options.size;
    if (!isFull && this.#options.clock.monotonicMs() >= this.#startAgainAtMs) this.#startOne();
  }

  #startOne(): void {
    this.#starting.add(this.#options.start((thread, news) => this.#heard(thread, news)));
  }

  #enqueue(request: PoolRequest): void {
    const queue = this.#queues.get(request.from);
    if (queue === undefined) this.#queues.set(request.from, [request]);
    else queue.push(request);
    this.#waiting += 1;
  }

  #next(): PoolRequest | undefined {
    for (const [from, queue] of this.#queues) {
      const request = queue.shift();
      this.#queues.delete(from);
      if (queue.length > 0) this.#queues.set(from, queue);
      if (request !== undefined) this.#waiting -= 1;
      return request;
    }
    return undefined;
  }

  #heard(thread: TokenThread<PoolRequest>, news: ThreadNews | undefined): void {
    const { answered, malformed, asked, onTrouble, told } = this.#options;
    const { request } = thread;
    if (news === undefined) this.#ended(thread);
    else if (news.type === 'ready') {
      this.#starting.delete(thread);
      this.#threads.add(thread);
      this.#free(thread);
      this.#started();
    } else if (news.type === 'answered') {
      const { status, payload } = thread.takeAnswer();
      if (request !== undefined) answered(request, status, payload);
      payload.fill(0);
      this.#free(thread);
    } else if (news.type === 'malformed') {
      if (request !== undefined) malformed(request);
      this.#free(thread);
    } else if (news.type === 'ask') asked(thread, Buffer.from(news.ckaId, 'hex'), news.search);
    else if (news.type === 'trouble') onTrouble(news.trouble);
    else if (news.type === 'lost') this.#lost(thread, news);
    else told(news);
  }

  #free(thread: TokenThread<PoolRequest>): void {
    thread.release();
    this.#hung.delete(thread);
    const next = this.#next();
    if (next === undefined) this.#idle.push(thread);
    else thread.perform(next);
  }

  #lost(thread: TokenThread<PoolRequest>, { isToken, trouble }: Extract<ThreadNews, { type: 'lost' }>): void {
    this.#options.onTrouble(trouble);
    this.#ended(thread);
    if (isToken) this.#options.onLost();
  }

  /** Once for each thread that does. */
  #ended(thread: TokenThread<PoolRequest>): void {
    if (!this.#starting.delete(thread) && !this.#threads.delete(thread)) return;
    if (thread.request !== undefined) this.#options.failed(thread.request);
    thread.release();
    this.#hung.delete(thread);
    const at = this.#idle.indexOf(thread);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#startAgainAtMs = this.#options.clock.monotonicMs() + againMs;
    this.#started();
    if (this.#threads.size + this.#starting.size > 0) return;
    const waiting = [...this.#queues.values()].flat();
    this.#queues.clear();
    this.#waiting = 0;
    this.#options.onEmpty(waiting);
  }

  #started(): void {
    if (this.#starting.size === 0) this.#onStarted?.();
  }

  #look(): void {
    const { size, hangsAfterMs, onTrouble, onHung } = this.#options;
    if (this.#waiting > 0) this.#startMissing();
    let isTooLong = false;
    for (const thread of this.#threads) {
      if (thread.busyMs < hangsAfterMs) continue;
      isTooLong ||= thread.busyMs >= patience * hangsAfterMs;
      if (this.#hung.has(thread)) continue;
      this.#hung.add(thread);
      const what = `a call has not returned for ${Math.round(hangsAfterMs / 1000)} s`;
      onTrouble({ function: 'none', ckr: 'none', lost: 'session', what });
    }
    if (isTooLong || 2 * this.#hung.size >= size) onHung();
  }
}

/** A thread that hangs for so many times as long as a hang takes to be one is not waited for any longer. */
const patience = 6;
