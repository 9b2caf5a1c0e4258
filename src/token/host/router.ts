// Which thread performs a request: this one, or one of the pools'. Keys are used in as many threads as the profile lets calls be in flight, or here where that is one;
// keys are made in threads of their own; order among objects is kept here, where the index of all keys is.
import { daemonKeys } from '../../ports/token.js';
import type { MonotonicClock } from '../../kernel/clock.js';
import type { Timers } from '../../kernel/timers.js';
import { calls, type Work } from '../calls.js';
import { MakingOrder } from './making-order.js';
import { Malformed } from '../fields.js';
import { statuses, type Status } from '../wire.js';
import { TokenLost } from './fault.js';
import { TokenThread, type ThreadStart } from './thread.js';
import { ThreadPool, type ThreadPoolOptions } from './thread-pool.js';
import type { PoolRequest, RequestId } from './waiting.js';
import type { ThreadNews } from './thread-messages.js';
import { NotReadYet, type ObjectIndex } from './object-index.js';
import type { Answers, Performed, Performer } from './performer.js';
import type { Profile } from './profile.js';
import type { Troubles } from './trouble.js';

/** `taken`: by a pool; it is answered later. */
export type Routed = Exclude<Performed, Error> | NotReadYet | 'taken';

/** A call hangs after so long; a key of the largest kind takes a device a minute. */
const hangsAfterMs: Readonly<Record<Exclude<Work, 'keeping'>, number>> = { using: 10_000, making: 120_000 };
/** Keys are made seldom, and a thread takes some megabytes. */
const makersRestAfterMs = 60_000;
/** Gateways have queues of their own: what waits here is what they let out. */
const room = 4096;

export interface RouterOptions {
  readonly performer: Performer;
  readonly index: ObjectIndex;
  readonly profile: Profile;
  readonly thread: ThreadStart;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  readonly troubles: Troubles;
  /** For `from`, of what was taken. Without a status the request makes no sense. */
  readonly answer: (from: object, id: number, status: number | undefined, payload: Buffer) => void;
  readonly onLost: (why: unknown) => void;
  /** Calls hang, and nothing but the end of this process ends them. */
  readonly onHung: () => void;
}

interface Asking {
  readonly awaited: string;
  readonly again: () => void;
}

const nothing = Buffer.alloc(0);

export class Router {
  readonly #options: RouterOptions;
  readonly #using: ThreadPool | undefined;
  readonly #making: ThreadPool;
  /** By the calls' numbers; undefined: here. */
  readonly #pools: readonly (ThreadPool | undefined)[];
  /** Threads that wait for the index to be read. */
  readonly #asking = new Set<Asking>();
  readonly #order = new MakingOrder();
  /** The CKA_IDs of keys that the pool is to make, by gateway and request. */
  readonly #beingMade = new Map<object, Map<number, Buffer>>();

  constructor(options: RouterOptions) {
    const { callsInFlight, keyGenerations } = options.profile;
    this.#options = options;
    this.#using = callsInFlight.value > 1 ? this.#pool('using', callsInFlight.value) : undefined;
    this.#making = this.#pool('making', keyGenerations.value);
    const pools: (ThreadPool | undefined)[] = [];
    const byWork = { using: this.#using, making: this.#making, keeping: undefined };
    for (const { op, work } of Object.values(calls)) pools[op] = byWork[work];
    this.#pools = pools;
    options.index.start(Object.values(daemonKeys));
  }

  /** Resolves when the threads that use keys are there. */
  async start(): Promise<void> {
    await this.#using?.fill();
  }

  perform(id: number, op: number, payload: Buffer, out: Answers, from: object): Routed {
    const pool = this.#pools[op];
    if (pool !== undefined) {
      const status = this.#take(pool, { id, op, payload, from });
      if (status !== 'taken') out.commit(id, statuses[status], 0);
      return 'taken';
    }
    if (op === calls.holds.op && this.#beingMade.size > 0) {
      this.#lookWhenMade(id, Buffer.from(payload), from);
      return 'taken';
    }
    const outcome = this.#options.performer.perform(id, op, payload, out);
    // Nothing is asked where the index itself is.
    if (outcome instanceof Error && !(outcome instanceof NotReadYet)) throw outcome;
    return outcome;
  }

  /** Reads a further part of the token's index; gives what requests may have waited for, and nothing when all is read. */
  readIndex(): readonly string[] {
    const names = this.#read((index) => index.readSlice());
    const read = new Set(names);
    for (const asking of [...this.#asking]) {
      if (names.length > 0 && !read.has(asking.awaited) && !read.has('')) continue;
      this.#asking.delete(asking);
      asking.again();
    }
    return names;
  }

  endTurn(): void {
    this.#options.performer.endTurn();
  }

  /** A key was destroyed here. */
  forget(ckaId: Buffer): void {
    const order = { type: 'forget', ckaId: ckaId.toString('hex') } as const;
    this.#using?.order(order);
    this.#making.order(order);
  }

  /** A gateway is told that the token has no such key. */
  saidAbsent(ckaId: Buffer): void {
    this.#order.saidAbsent(ckaId);
  }

  /** The gateway is gone. */
  leave(from: object): void {
    for (const pool of [this.#using, this.#making]) {
      for (const request of pool?.forget(from) ?? []) this.#over(request);
    }
  }

  /** A key that was said not to be there is not made. */
  #take(pool: ThreadPool, request: PoolRequest): Status | 'taken' {
    const { id, op, payload, from } = request;
    const ckaId = op === calls.generateKey.op ? madeBy(payload) : undefined;
    if (ckaId !== undefined) {
      if (!this.#order.begin(ckaId)) return 'nothingMade';
      const ofGateway = this.#beingMade.get(from) ?? new Map<number, Buffer>();
      this.#beingMade.set(from, ofGateway.set(id, Buffer.from(ckaId)));
    }
    if (pool.take(request)) return 'taken';
    this.#over(request);
    return 'internal';
  }

  /** Whatever became of it: nothing of it comes any more. */
  #over({ from, id }: RequestId): void {
    const ofGateway = this.#beingMade.get(from);
    const ckaId = ofGateway?.get(id);
    if (ofGateway === undefined || ckaId === undefined) return;
    ofGateway.delete(id);
    if (ofGateway.size === 0) this.#beingMade.delete(from);
    this.#order.end(ckaId);
  }

  #lookWhenMade(id: number, payload: Buffer, from: object): void {
    const answer = (status: number | undefined, bytes: Buffer): void => this.#options.answer(from, id, status, bytes);
    const ckaId = askedFor(payload);
    if (ckaId === undefined) {
      answer(undefined, nothing);
      return;
    }
    this.#order.whenNotUnderWay(ckaId, () => {
      let room = nothing;
      const out: Answers = {
        reserve: (bytes) => (room = Buffer.alloc(bytes)),
        commit: (_id, status, bytes) => answer(status, room.subarray(0, bytes)),
      };
      try {
        this.#options.performer.perform(id, calls.holds.op, payload, out);
      } catch (error) {
        this.#options.onLost(error);
      }
    });
  }

  /** Whether the pools have anything to do that does not hang. */
  get isBusy(): boolean {
    return this.#making.isBusy || this.#using?.isBusy === true;
  }

  /** Whether a thread hangs in the library. */
  get hangs(): boolean {
    return this.#making.hangs || this.#using?.hangs === true;
  }

  close(): void {
    this.#using?.close();
    this.#making.close();
  }

  #pool(work: 'using' | 'making', size: number): ThreadPool {
    const { clock, timers, troubles, thread: start, answer, onLost, onHung } = this.#options;
    const answerTo = (request: RequestId, status: number | undefined, payload: Buffer): void => {
      this.#over(request);
      answer(request.from, request.id, status, payload);
    };
    const refuse = (requests: readonly RequestId[], status: Status): void => {
      for (const request of requests) answerTo(request, statuses[status], nothing);
    };
    const options: ThreadPoolOptions = {
      size,
      ahead: work === 'using' ? size : 0,
      restAfterMs: work === 'using' ? Infinity : makersRestAfterMs,
      hangsAfterMs: hangsAfterMs[work],
      room,
      clock,
      timers,
      start: (shared, thread, onNews) => new TokenThread(start, shared, thread, onNews),
      answered: answerTo,
      asked: (thread, ckaId, search) => this.#tell(pool, thread, ckaId, search),
      told: (news) => this.#hear(news),
      onTrouble: troubles.reportDescribed,
      failed: (request) => refuse([request], 'internal'),
      onLost: () => onLost(new TokenLost('a thread found the token lost')),
      onEmpty(waiting) {
        refuse(waiting, work === 'making' ? 'nothingMade' : 'internal');
        if (work === 'using') onLost(new TokenLost('the token opens no session'));
      },
      onHung,
    };
    const pool = new ThreadPool(options);
    return pool;
  }

  #hear(news: Extract<ThreadNews, { type: 'made' | 'gone' | 'session-replaced' }>): void {
    try {
      this.#read((index) => {
        if (news.type === 'made') index.add(Buffer.from(news.ckaId, 'hex'), Buffer.from(news.handle, 'hex'));
        else if (news.type === 'gone') index.drop(Buffer.from(news.ckaId, 'hex'));
        else index.recheck();
      });
    } catch (error) {
      this.#options.onLost(error);
    }
  }

  /** What the index has, as soon as it has been read that far. */
  #tell(pool: ThreadPool, thread: number, ckaId: Buffer, search: boolean): void {
    try {
      const handles = this.#read((index) => (search || index.has(ckaId) ? index.find(ckaId) : []));
      pool.tell(thread, {
        type: 'hint',
        hint: {
          ckaId: ckaId.toString('hex'),
          handles: handles.map((handle) => handle.toString('hex')),
          one: this.#options.index.one?.toString('hex'),
        },
      });
    } catch (error) {
      if (error instanceof NotReadYet)
        this.#asking.add({ awaited: error.awaited, again: () => this.#tell(pool, thread, ckaId, search) });
      else this.#options.onLost(error);
    }
  }

  /** NotReadYet; or TokenLost: a host that cannot read the token's keys, with a fresh session either, cannot serve them. */
  #read<Result>(from: (index: ObjectIndex) => Result): Result {
    const { index, performer } = this.#options;
    try {
      return from(index);
    } catch (error) {
      if (error instanceof NotReadYet) throw error;
      try {
        performer.recoverSession(error);
        return from(index);
      } catch (again) {
        if (again instanceof NotReadYet) throw again;
        throw new TokenLost('the index cannot be read', { cause: again });
      }
    }
  }
}

/** Undefined for what makes no sense: it is refused where it is performed. */
const madeBy = (payload: Buffer): Buffer | undefined =>
  idIn(() => calls.generateKey.args.read(payload, 0, payload.length)[0]);
const askedFor = (payload: Buffer): Buffer | undefined =>
  idIn(() => calls.holds.args.read(payload, 0, payload.length)[0]);

function idIn(read: () => Buffer): Buffer | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}
