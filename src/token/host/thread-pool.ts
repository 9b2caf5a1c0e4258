// The threads for one kind of work, and the requests that wait for one: gateways in turn, so that none is kept waiting by another's. One thread that
// hangs takes nothing from the others; when too many do, or one for too long, the process is to end, since nothing else ends a call in a library.
import type { MonotonicClock } from '../../kernel/clock.js';
import type { Cancel, Timers } from '../../kernel/timers.js';
import { PoolMemory } from './pool-memory.js';
import { share, type Shared } from './shared-places.js';
import type { OnNews, PoolThread } from './thread.js';
import type { ThreadNews, ThreadOrder } from './thread-messages.js';
import type { DescribedTrouble } from './trouble.js';
import { Waiting, type PoolRequest, type RequestId } from './waiting.js';

const lookEveryMs = 500;
/** After a thread found no session, or ended: another is tried. */
const againMs = 10_000;
/** A thread that hangs for so many times as long as a hang takes to be one is not waited for any longer. */
const patience = 6;

export interface ThreadPoolOptions {
  readonly size: number;
  /** Requests that lie where threads take them, beside those that threads perform: a thread that is done goes on with the next at once. */
  readonly ahead: number;
  /** A call that takes longer hangs: its thread is counted out. */
  readonly hangsAfterMs: number;
  /** Threads that had nothing to do for so long end. */
  readonly restAfterMs: number;
  readonly start: (shared: Shared, thread: number, onNews: OnNews) => PoolThread;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** Requests that may wait; one more is refused. */
  readonly room: number;
  /** Without a status: the request makes no sense. The payload is only valid until it returns. */
  readonly answered: (request: RequestId, status: number | undefined, payload: Buffer) => void;
  /** The thread waits for `tell`, and does nothing else. */
  readonly asked: (thread: number, ckaId: Buffer, search: boolean) => void;
  readonly told: (news: Extract<ThreadNews, { type: 'made' | 'gone' | 'session-replaced' }>) => void;
  readonly onTrouble: (trouble: DescribedTrouble) => void;
  /** What became of it nobody knows: its thread has ended. */
  readonly failed: (request: RequestId) => void;
  readonly onLost: () => void;
  /** No thread can be had, and these waited for one. */
  readonly onEmpty: (waiting: readonly RequestId[]) => void;
  /** Too much hangs. */
  readonly onHung: () => void;
}

interface Seat {
  thread: PoolThread | undefined;
  isReady: boolean;
  /** It has been told to end. */
  isResting: boolean;
  newsHeard: number;
}

/** What lies in a place. */
interface Given extends RequestId {
  /** Since when a thread has been seen to perform it. */
  sinceMs: number | undefined;
  hangs: boolean;
}

export class ThreadPool {
  readonly #options: ThreadPoolOptions;
  readonly #memory: PoolMemory;
  /** By the threads' numbers. */
  readonly #seats: readonly Seat[];
  /** By places. */
  readonly #given: (Given | undefined)[];
  readonly #freePlaces: number[];
  readonly #waiting = new Waiting();
  readonly #endLooking: Cancel;
  #startAgainAtMs = 0;
  #workedAtMs = 0;
  #onStarted: (() => void) | undefined;

  constructor(options: ThreadPoolOptions) {
    const { size, ahead, timers } = options;
    this.#options = options;
    this.#memory = new PoolMemory(share(size + ahead, size), () => this.#takeAnswers());
    const seat = (): Seat => ({ thread: undefined, isReady: false, isResting: false, newsHeard: 0 });
    this.#seats = Array.from({ length: size }, seat);
    this.#given = Array.from({ length: size + ahead }, () => undefined);
    this.#freePlaces = [...this.#given.keys()].reverse();
    this.#endLooking = timers.every(lookEveryMs, () => this.#look());
  }

  /** Starts all threads, and resolves when each has its session or has found none. */
  async fill(): Promise<void> {
    this.#seats.forEach((_, thread) => this.#start(thread));
    await new Promise<void>((resolve) => (this.#onStarted = resolve));
  }

  /** Reads the payload before it returns. False: there is no room. */
  take(request: PoolRequest): boolean {
    const place = this.#freePlaces.pop();
    if (place !== undefined) this.#give(place, request);
    else if (!this.#waiting.add(request, this.#options.room)) return false;
    if (this.#threads < this.#seats.length) this.#startMissing();
    return true;
  }

  /** The answer to what a thread asked. */
  tell(thread: number, order: ThreadOrder): void {
    this.#seats[thread]?.thread?.order(order);
    this.#memory.tell(thread);
  }

  /** To every thread. */
  order(order: ThreadOrder): void {
    for (const { thread } of this.#seats) thread?.order(order);
    this.#memory.ordered();
  }

  /** That gateway is gone: nobody waits for what waits here, which is given back. What threads may take already is performed. */
  forget(from: object): readonly RequestId[] {
    return this.#waiting.forget(from);
  }

  get hangs(): boolean {
    return this.#given.some((given) => given?.hangs === true);
  }

  /** Whether there is anything to be performed that does not hang. */
  get isBusy(): boolean {
    return this.#waiting.size > 0 || this.#given.some((given) => given?.hangs === false);
  }

  close(): void {
    this.#endLooking();
  }

  /** Those that take what is given. */
  get #threads(): number {
    return this.#seats.filter(({ thread, isResting }) => thread !== undefined && !isResting).length;
  }

  #give(place: number, request: PoolRequest): void {
    const { id, from } = request;
    this.#given[place] = { id, from, sinceMs: undefined, hangs: false };
    this.#workedAtMs = this.#options.clock.monotonicMs();
    this.#memory.give(place, request);
  }

  /** Answers of all threads; what waits goes where they were. */
  #takeAnswers(): void {
    this.#seats.forEach((seat, thread) => this.#hear(seat, thread));
    this.#given.forEach((given, place) => {
      if (given === undefined || !this.#memory.isAnswered(place)) return;
      this.#memory.takeAnswer(place, (status, payload) => this.#options.answered(given, status, payload));
      this.#free(place);
    });
  }

  #free(place: number): void {
    this.#given[place] = undefined;
    const next = this.#waiting.next();
    if (next === undefined) this.#freePlaces.push(place);
    else {
      this.#give(place, next);
      next.payload.fill(0);
    }
  }

  /** What a thread has said of a request is heard before the request's answer. */
  #hear(seat: Seat, thread: number): void {
    const sent = this.#memory.newsOf(thread);
    if (sent === seat.newsHeard) return;
    seat.newsHeard = sent;
    seat.thread?.hear();
  }

  #heard(thread: number, seat: Seat, news: ThreadNews | undefined): void {
    const { asked, onTrouble, onLost, told } = this.#options;
    if (news === undefined) this.#ended(thread, seat);
    else if (news.type === 'ready') {
      seat.isReady = true;
      this.#started();
    } else if (news.type === 'ask') asked(thread, Buffer.from(news.ckaId, 'hex'), news.search);
    else if (news.type === 'trouble') onTrouble(news.trouble);
    else if (news.type === 'lost') {
      onTrouble(news.trouble);
      this.#ended(thread, seat);
      if (news.isToken) onLost();
    } else told(news);
  }

  #start(thread: number): void {
    const seat = this.#seats[thread];
    if (seat === undefined) return;
    seat.isReady = seat.isResting = false;
    seat.newsHeard = this.#memory.newsOf(thread);
    const started = this.#options.start(this.#memory.shared, thread, (news) => {
      // It may have said that it ends, and another may sit there.
      if (seat.thread === started) this.#heard(thread, seat, news);
    });
    seat.thread = started;
  }

  #startMissing(): void {
    if (this.#options.clock.monotonicMs() < this.#startAgainAtMs) return;
    const missing = this.#seats.findIndex(({ thread }) => thread === undefined);
    if (missing >= 0) this.#start(missing);
  }

  #ended(thread: number, seat: Seat): void {
    const { clock, failed, onEmpty } = this.#options;
    const { isResting } = seat;
    seat.thread = undefined;
    this.#takeAnswers();
    this.#given.forEach((given, place) => {
      if (given === undefined || this.#memory.ownerOf(place) !== thread) return;
      failed(given);
      this.#memory.free(place);
      this.#free(place);
    });
    if (isResting) {
      if (this.isBusy) this.#startMissing();
      return;
    }
    this.#startAgainAtMs = clock.monotonicMs() + againMs;
    this.#started();
    if (this.#seats.every((other) => other.thread === undefined)) onEmpty(this.#takeBack());
  }

  /** Whatever no thread has taken. */
  #takeBack(): RequestId[] {
    const waiting = this.#waiting.takeAll();
    this.#given.forEach((given, place) => {
      if (given === undefined || !this.#memory.takeBack(place)) return;
      waiting.push(given);
      this.#given[place] = undefined;
      this.#freePlaces.push(place);
    });
    return waiting;
  }

  #started(): void {
    if (this.#seats.every(({ thread, isReady }) => thread === undefined || isReady)) this.#onStarted?.();
  }

  #look(): void {
    const { size, hangsAfterMs, onHung, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#takeAnswers();
    this.#rest(nowMs);
    if (this.isBusy && this.#threads < this.#seats.length) this.#startMissing();
    let [hung, isTooLong] = [0, false];
    this.#given.forEach((given, place) => {
      if (given === undefined || this.#memory.ownerOf(place) === undefined) return;
      given.sinceMs ??= nowMs;
      if (nowMs - given.sinceMs < hangsAfterMs) return;
      hung += 1;
      isTooLong ||= nowMs - given.sinceMs >= patience * hangsAfterMs;
      if (!given.hangs) this.#tellOfHang(given);
    });
    if (isTooLong || 2 * hung >= size) onHung();
  }

  #tellOfHang(given: Given): void {
    given.hangs = true;
    const what = `a call has not returned for ${Math.round(this.#options.hangsAfterMs / 1000)} s`;
    this.#options.onTrouble({ function: 'none', ckr: 'none', lost: 'session', what });
  }

  /** A thread takes some megabytes. */
  #rest(nowMs: number): void {
    if (this.#freePlaces.length < this.#given.length) this.#workedAtMs = nowMs;
    if (this.#threads === 0 || nowMs - this.#workedAtMs < this.#options.restAfterMs) return;
    for (const seat of this.#seats) seat.isResting = seat.thread !== undefined;
    this.order({ type: 'end' });
  }
}
