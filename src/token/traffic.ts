// The requests of one kind of work between a gateway and a token host: whose turn it is, which have been sent, and until when each is waited for.
import type { MonotonicClock } from '../kernel/clock.js';
import type { Call as TokenCall } from './calls.js';
import type { Field } from './fields.js';
import { Turns, type Call, type Queue, type TurnsOptions } from './turns.js';

/** A request as long as it has not been sent. */
export interface Held {
  readonly id: number;
  readonly call: TokenCall<readonly unknown[], unknown>;
  readonly args: readonly unknown[];
  readonly bytes: number;
}

export interface Pending extends Call<Pending> {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: Error) => void;
  readonly answer: Field<unknown>;
  readonly deadlineAtMs: number;
  /** How long it waited for its turn. */
  waitedMs: number;
  held: Held | undefined;
}

/** What operators see of it. */
export interface TrafficState {
  /** Calls that wait for their turn, or for a host. */
  readonly waiting: number;
  /** Places that the host's calls take: one each, and one more for every 8 KiB. */
  readonly inFlight: number;
  /** Since the start: calls that were answered, how long they took in all, and how long of it they waited for their turn. */
  readonly answered: number;
  readonly tookMs: number;
  readonly waitedMs: number;
}

export interface TrafficOptions {
  readonly turns: TurnsOptions;
  /** From the call to its answer. */
  readonly deadlineMs: number;
  /** While there is no host: from the call on. No more than `deadlineMs`. */
  readonly awayMs: number;
  readonly clock: MonotonicClock;
}

/** Answers over which the host's pace is measured, as long as calls wait all the while. */
const paceAnswers = 64;
/** Of its deadline, a call is to wait no more for its turn: it is refused at once instead. */
const waitShare = 1 / 2;

export class Traffic {
  readonly #options: TrafficOptions;
  readonly #turns: Turns<Pending>;
  /** In the order of their calls, so in the order of their deadlines. */
  readonly #pending = new Map<number, Pending>();
  /** Requests of this connection whose answers nobody waits for any more: they still take the host's time. */
  readonly #late = new Map<number, Pending>();
  /** Milliseconds from one answer to the next; 0: not known. */
  #paceMs = 0;
  #answers = 0;
  #answersSinceMs = 0;
  #answered = 0;
  #tookMs = 0;
  #waitedMs = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.#turns = new Turns(options.turns);
  }

  queue(own: boolean): Queue<Pending> {
    return this.#turns.queue(own);
  }

  /** Places of the calls that the host has. */
  get atHost(): number {
    return this.#turns.atHost;
  }

  get state(): TrafficState {
    const { waiting, atHost: inFlight } = this.#turns;
    return { waiting, inFlight, answered: this.#answered, tookMs: this.#tookMs, waitedMs: this.#waitedMs };
  }

  /** May the asker make another call? Not when there are too many, nor when it would wait for too long. */
  admits(queue: Queue<Pending>): boolean {
    const waitMs = this.#turns.ahead(queue) * this.#paceMs;
    return this.#turns.admits(queue) && waitMs <= this.#options.deadlineMs * waitShare;
  }

  deadline(): number {
    return this.#options.clock.monotonicMs() + this.#options.deadlineMs;
  }

  /** True: the call is to be sent now. */
  enter(id: number, pending: Pending): boolean {
    this.#pending.set(id, pending);
    return this.#turns.enter(pending);
  }

  /** What is to be sent now of what waits. */
  next(): Held | undefined {
    const pending = this.#turns.next();
    const held = pending?.held;
    if (pending === undefined || held === undefined) return undefined;
    pending.held = undefined;
    pending.waitedMs = this.#ageMs(pending);
    return held;
  }

  /** What the answer belongs to: `late` when nobody waits for it any more, undefined when it is of no request of this traffic. */
  answered(id: number): Pending | 'late' | undefined {
    const pending = this.#pending.get(id);
    // Of a request that was not sent, no answer can be.
    if (pending !== undefined && pending.held === undefined) {
      this.#pending.delete(id);
      this.#answered += 1;
      this.#tookMs += this.#ageMs(pending);
      this.#waitedMs += pending.waitedMs;
      this.#leave(pending);
      return pending;
    }
    const late = this.#late.get(id);
    if (late === undefined) return undefined;
    this.#late.delete(id);
    this.#leave(late);
    return 'late';
  }

  open(window = this.#options.turns.window): void {
    this.#paceMs = this.#answers = 0;
    this.#turns.open(window);
  }

  /** There is no host any more: gives what it had. */
  close(): Pending[] {
    this.#turns.close();
    for (const late of this.#late.values()) this.#turns.leave(late);
    this.#late.clear();
    return this.#take((pending) => pending.held === undefined);
  }

  takeAll(): Pending[] {
    return this.#take(() => true);
  }

  /** Gives what is past its deadline. That says nothing of the host, which may be busy with others. */
  expired(nowMs: number): Pending[] {
    const { deadlineMs, awayMs } = this.#options;
    const found: Pending[] = [];
    const aheadMs = this.#turns.isOpen ? 0 : deadlineMs - awayMs;
    for (const [id, pending] of this.#pending) {
      if (pending.deadlineAtMs - aheadMs > nowMs) break;
      this.#pending.delete(id);
      if (pending.held === undefined) this.#late.set(id, pending);
      else this.#turns.leave(pending);
      found.push(pending);
    }
    return found;
  }

  #take(which: (pending: Pending) => boolean): Pending[] {
    const taken: Pending[] = [];
    for (const [id, pending] of this.#pending) {
      if (!which(pending)) continue;
      this.#pending.delete(id);
      this.#turns.leave(pending);
      taken.push(pending);
    }
    return taken;
  }

  #ageMs({ deadlineAtMs }: Pending): number {
    return this.#options.clock.monotonicMs() - (deadlineAtMs - this.#options.deadlineMs);
  }

  #leave(pending: Pending): void {
    this.#turns.leave(pending);
    if (this.#turns.waiting === 0) this.#paceMs = this.#answers = 0;
    else this.#measure();
  }

  #measure(): void {
    if (this.#answers === 0) this.#answersSinceMs = this.#options.clock.monotonicMs();
    this.#answers += 1;
    if (this.#answers <= paceAnswers) return;
    this.#paceMs = (this.#options.clock.monotonicMs() - this.#answersSinceMs) / paceAnswers;
    this.#answers = 0;
  }
}
