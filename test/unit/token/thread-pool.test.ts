// Pools of the token host's threads, in one process: what hangs, ends and finds no session is played by threads that share the memory as real ones do.
import { afterEach, describe, expect, it } from 'vitest';
import type { Cancel, Timers } from '../../../src/kernel/timers.js';
import type { Shared } from '../../../src/token/host/shared-places.js';
import type { OnNews, PoolThread } from '../../../src/token/host/thread.js';
import { ThreadMemory } from '../../../src/token/host/thread-memory.js';
import { ThreadPool, type ThreadPoolOptions } from '../../../src/token/host/thread-pool.js';
import type { ThreadNews, ThreadOrder } from '../../../src/token/host/thread-messages.js';

const op = 5;
const ok = 0;
const trouble = { function: 'C_OpenSession', ckr: 'CKR_SESSION_COUNT', lost: 'session', what: 'no session' } as const;

/** Does by its test's hand what performing-thread.ts does. */
class HandThread implements PoolThread {
  readonly memory: ThreadMemory;
  readonly number: number;
  readonly orders: ThreadOrder[] = [];
  readonly #onNews: OnNews;
  readonly #unheard: ThreadNews[] = [];
  place: number | undefined;
  request = '';

  constructor(shared: Shared, number: number, onNews: OnNews) {
    this.memory = new ThreadMemory(shared, number);
    this.number = number;
    this.#onNews = onNews;
  }

  order(order: ThreadOrder): void {
    this.orders.push(order);
  }

  hear(): void {
    for (const news of this.#unheard.splice(0)) this.#onNews(news);
  }

  /** Said, and not heard yet. */
  say(news: ThreadNews): void {
    this.#unheard.push(news);
    this.memory.sentNews();
  }

  tell(news: ThreadNews): void {
    this.say(news);
    this.hear();
  }

  /** A request must be there: else it would sleep. */
  take(): this {
    this.place = this.memory.next();
    if (this.place === undefined) throw new Error('it was woken for an order');
    const own = Buffer.alloc(this.memory.bytesOf(this.place));
    this.memory.takeRequest(this.place, own);
    this.request = own.toString();
    return this;
  }

  answer(text = this.request): void {
    this.memory.answer(this.place!, ok, Buffer.from(text));
    this.place = undefined;
  }

  end(): void {
    this.#onNews(undefined);
  }
}

interface Play {
  readonly pool: ThreadPool;
  readonly threads: HandThread[];
  readonly events: string[];
  /** Gives requests, by their numbers; false where there is no room. */
  readonly give: (from: object, ...ids: number[]) => boolean[];
  /** Time goes by, in looks. */
  readonly pass: (ms: number) => void;
  /** Answers have been heard. */
  readonly turn: () => Promise<void>;
}

const cancels: Cancel[] = [];
afterEach(() => cancels.splice(0).forEach((cancel) => cancel()));
const gateways = [{ name: 'A' }, { name: 'B' }];
const nameOf = (from: object): string => (from as { name: string }).name;

function play(changes: Partial<ThreadPoolOptions> = {}): Play {
  let nowMs = 0;
  const looks: [number, () => void][] = [];
  const threads: HandThread[] = [];
  const events: string[] = [];
  const timers = { every: (ms: number, look: () => void) => (looks.push([ms, look]), () => undefined) };
  const label = ({ id, from }: { id: number; from: object }): string => `${nameOf(from)}${id}`;
  const pool: ThreadPool = new ThreadPool({
    size: 4,
    ahead: 0,
    hangsAfterMs: 10_000,
    restAfterMs: Infinity,
    room: 100,
    clock: { monotonicMs: () => nowMs },
    timers: timers as unknown as Timers,
    start(shared, number, onNews) {
      const thread = new HandThread(shared, number, onNews);
      threads.push(thread);
      return thread;
    },
    answered: (request, status, payload) =>
      events.push(`${label(request)} ${status === ok ? payload.toString() : String(status)}`),
    asked: (thread, ckaId) => events.push(`thread ${thread} asks for ${ckaId.toString('hex')}`),
    told: (news) => events.push(news.type),
    onTrouble: ({ what }) => events.push(what),
    failed: (request) => events.push(`${label(request)} failed`),
    onLost: () => events.push('lost'),
    onEmpty: (waiting) => events.push(`empty: ${waiting.map(label).join()}`),
    onHung: () => events.push('hung'),
    ...changes,
  });
  cancels.push(() => pool.close());
  return {
    pool,
    threads,
    events,
    give: (from, ...ids) =>
      ids.map((id) => pool.take({ id, op, from, payload: Buffer.from(`${nameOf(from)}${id} performed`) })),
    pass(ms) {
      const [[everyMs, look] = [0, () => undefined]] = looks;
      for (const endMs = nowMs + ms; nowMs < endMs;) {
        nowMs += everyMs;
        look();
      }
    },
    turn: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
  };
}

async function filled(changes: Partial<ThreadPoolOptions> = {}): Promise<Play> {
  const played = play(changes);
  const full = played.pool.fill();
  for (const thread of played.threads) thread.tell({ type: 'ready' });
  await full;
  return played;
}

const [a, b] = gateways as [object, object];

describe('a pool of four', () => {
  it('gives each request to one thread, and gateways their turns', async () => {
    const { threads, events, give, turn } = await filled();
    give(a, 1, 2, 3, 4, 5, 6, 7);
    give(b, 1);
    for (const thread of threads) thread.take();
    expect(threads.map(({ request }) => request)).toEqual([1, 2, 3, 4].map((id) => `A${id} performed`));
    threads[2]!.answer();
    await turn();
    expect(events).toEqual(['A3 A3 performed']);
    expect(threads[2]!.take().request).toBe('A5 performed');
    threads[0]!.answer();
    await turn();
    expect(threads[0]!.take().request).toBe('B1 performed');
  });

  it('has the next ones lie ready, in their order, and takes many answers at once', async () => {
    const { threads, events, give, turn, pool } = await filled({ ahead: 4 });
    give(a, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    const [one] = threads;
    for (let n = 1; n <= 8; n++) one!.take().answer();
    await turn();
    expect(events).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((n) => `A${n} A${n} performed`));
    one!.take().answer();
    await turn();
    expect(events.at(-1)).toBe('A9 A9 performed');
    expect(pool.isBusy).toBe(false);
  });

  it('hears what a thread says before the answer that it gives after that', async () => {
    const { threads, events, give, turn } = await filled();
    give(a, 1);
    threads[1]!.take().say({ type: 'made', ckaId: '11', handle: '01' });
    threads[1]!.answer();
    await turn();
    expect(events).toEqual(['made', 'A1 A1 performed']);
  });

  it('says no when there is no room, and forgets what a gateway waited for that is gone', async () => {
    const { threads, events, give, turn, pool } = await filled({ room: 2 });
    expect(give(a, 1, 2, 3, 4, 5, 6, 7)).toEqual([true, true, true, true, true, true, false]);
    pool.forget(a);
    expect(give(b, 1)).toEqual([true]);
    for (const thread of threads) thread.take().answer();
    await turn();
    expect(threads[3]!.take().request).toBe('B1 performed');
    expect(events).toHaveLength(4);
  });

  it('has an order heard by who takes what was given after it', async () => {
    const { threads, give, pool } = await filled();
    give(a, 1);
    threads[0]!.take();
    pool.order({ type: 'forget', ckaId: '11' });
    expect(threads[1]!.memory.next()).toBeUndefined();
    for (const { memory, orders } of threads) {
      expect(memory.hasOrders()).toBe(true);
      expect(memory.hasOrders()).toBe(false);
      expect(orders).toEqual([{ type: 'forget', ckaId: '11' }]);
    }
  });
});

describe('calls that hang', () => {
  it('are told of after ten seconds, leave the others their threads, and end the host when they are half of them', async () => {
    const { threads, events, give, pass, turn, pool } = await filled();
    give(a, 1, 2);
    threads[0]!.take();
    pass(5000);
    threads[1]!.take();
    pass(5500);
    expect(events).toEqual(['a call has not returned for 10 s']);
    expect(pool.hangs).toBe(true);
    give(b, 1);
    threads[2]!.take().answer();
    await turn();
    expect(events.at(-1)).toBe('B1 B1 performed');
    expect(events).not.toContain('hung');
    pass(5000);
    expect(events).toContain('hung');
    // What only hangs is not waited for.
    expect(pool.isBusy).toBe(false);
  });

  it('that return in the end are answered, and their threads go on', async () => {
    const { threads, events, give, pass, turn, pool } = await filled();
    give(a, 1);
    threads[0]!.take();
    pass(11_000);
    threads[0]!.answer();
    await turn();
    expect(events.at(-1)).toBe('A1 A1 performed');
    expect(pool.hangs).toBe(false);
    pass(60_000);
    expect(events).not.toContain('hung');
  });

  it('end the host after a minute, if it is only one', async () => {
    const { threads, events, give, pass } = await filled();
    give(a, 1);
    threads[0]!.take();
    pass(60_000);
    expect(events).not.toContain('hung');
    pass(1000);
    expect(events).toContain('hung');
  });

  it('are no calls that wait for a thread', async () => {
    const { events, give, pass } = await filled();
    give(a, 1, 2, 3, 4, 5, 6);
    pass(120_000);
    expect(events).toEqual([]);
  });
});

describe('a thread that ends', () => {
  it('in the middle of a request has its caller told, and nobody else', async () => {
    const { threads, events, give, pass, turn } = await filled();
    give(a, 1, 2, 3, 4, 5);
    for (const thread of threads) thread.take();
    threads[1]!.end();
    expect(events).toEqual(['A2 failed']);
    expect(threads[2]!.place).toBeDefined();
    threads[2]!.answer();
    await turn();
    expect(events).toEqual(['A2 failed', 'A3 A3 performed']);
    expect(threads[2]!.take().request).toBe('A5 performed');
    // Another takes its place, but not at once: it may end as well.
    give(b, 1);
    pass(9500);
    expect(threads).toHaveLength(4);
    pass(1000);
    expect(threads).toHaveLength(5);
    expect(threads[4]!.number).toBe(1);
    threads[4]!.tell({ type: 'ready' });
    expect(threads[4]!.take().request).toBe('B1 performed');
  });

  it('after its answer has that answer given', async () => {
    const { threads, events, give } = await filled();
    give(a, 1);
    threads[0]!.take().answer();
    threads[0]!.end();
    expect(events).toEqual(['A1 A1 performed']);
  });

  it('for want of a session leaves the others, and the last one has everybody told', async () => {
    const { pool, threads, events, give, pass } = play({ size: 2 });
    const full = pool.fill();
    threads[0]!.tell({ type: 'ready' });
    threads[1]!.tell({ type: 'lost', isToken: false, trouble });
    threads[1]!.end();
    await full;
    give(a, 1, 2);
    threads[0]!.take();
    expect(events).toEqual(['no session']);
    pass(10_500);
    expect(threads).toHaveLength(3);
    threads[2]!.tell({ type: 'lost', isToken: false, trouble });
    threads[0]!.end();
    expect(events.slice(-2)).toEqual(['A1 failed', 'empty: A2']);
    expect(pool.isBusy).toBe(false);
  });

  it('with its token has the caller told, and then the host', async () => {
    const { threads, events, give } = await filled();
    give(a, 1);
    threads[0]!.take().tell({ type: 'lost', isToken: true, trouble: { ...trouble, what: 'the token is lost' } });
    expect(events).toEqual(['the token is lost', 'A1 failed', 'lost']);
  });
});

describe('threads that are started when they are needed', () => {
  it('end when they have rested, and are there for the next request', async () => {
    const { threads, events, give, pass, turn, pool } = play({ size: 1, restAfterMs: 60_000 });
    give(a, 1);
    expect(threads).toHaveLength(1);
    threads[0]!.tell({ type: 'ready' });
    threads[0]!.take().answer();
    await turn();
    pass(59_000);
    expect(threads[0]!.orders).toEqual([]);
    pass(2000);
    expect(threads[0]!.orders).toEqual([{ type: 'end' }]);
    // Given while the last one is ending.
    give(a, 2);
    threads[0]!.end();
    expect(threads).toHaveLength(2);
    threads[1]!.tell({ type: 'ready' });
    expect(threads[1]!.take().request).toBe('A2 performed');
    threads[1]!.answer();
    await turn();
    expect(events).toEqual(['A1 A1 performed', 'A2 A2 performed']);
    expect(pool.isBusy).toBe(false);
  });

  it('do not rest while they work', async () => {
    const { threads, give, pass } = play({ size: 1, hangsAfterMs: 120_000, restAfterMs: 60_000 });
    give(a, 1);
    threads[0]!.tell({ type: 'ready' });
    threads[0]!.take();
    pass(119_000);
    expect(threads[0]!.orders).toEqual([]);
  });
});
