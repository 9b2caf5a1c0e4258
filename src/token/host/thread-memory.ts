// A thread's end of what it shares with the main thread.
import { common, Layout, noSense, ofPlace, ofThread, owners, type Shared } from './shared-places.js';

export class ThreadMemory {
  readonly #layout: Layout;
  readonly #thread: number;
  #heardOrders: number;
  #told: number;

  constructor(shared: Shared, thread: number) {
    this.#layout = new Layout(shared);
    this.#thread = thread;
    // Orders of before its time are about what it does not know.
    this.#heardOrders = Atomics.load(this.#layout.words, common.orders);
    this.#told = Atomics.load(this.#layout.words, this.#layout.thread(thread) + ofThread.told);
  }

  /** Sleeps until there is a request, which it takes, or an order. Undefined: it was woken for an order. */
  next(): number | undefined {
    const { words } = this.#layout;
    for (;;) {
      const seen = Atomics.load(words, common.turn);
      const place = this.#take();
      if (place !== undefined || this.#isOrdered) return place;
      Atomics.wait(words, common.turn, seen);
    }
  }

  /** Whether orders were sent since it was last asked. */
  hasOrders(): boolean {
    if (!this.#isOrdered) return false;
    this.#heardOrders = Atomics.load(this.#layout.words, common.orders);
    return true;
  }

  /** Sleeps until it has been told. */
  waitForTold(): void {
    const { words } = this.#layout;
    const at = this.#layout.thread(this.#thread) + ofThread.told;
    Atomics.wait(words, at, this.#told);
    this.#told = Atomics.load(words, at);
  }

  /** News has been sent: it is heard before the next answer is. */
  sentNews(): void {
    Atomics.add(this.#layout.words, this.#layout.thread(this.#thread) + ofThread.news, 1);
  }

  opOf(place: number): number {
    return this.#layout.words[this.#layout.place(place) + ofPlace.op] ?? 0;
  }

  bytesOf(place: number): number {
    return this.#layout.words[this.#layout.place(place) + ofPlace.requestBytes] ?? 0;
  }

  /** Copies the request into `own`, which is as long. */
  takeRequest(place: number, own: Buffer): void {
    const request = this.#layout.request(place, own.length);
    own.set(request);
    request.fill(0);
  }

  /** Without a status: the request makes no sense. */
  answer(place: number, ownStatus: number | undefined, payload: Buffer): void {
    const { words } = this.#layout;
    const at = this.#layout.place(place);
    this.#layout.answer(place, payload.length).set(payload);
    words[at + ofPlace.status] = ownStatus ?? noSense;
    words[at + ofPlace.answerBytes] = payload.length;
    Atomics.store(words, at + ofPlace.owner, owners.answered);
    Atomics.add(words, common.answers, 1);
    Atomics.notify(words, common.answers);
  }

  get #isOrdered(): boolean {
    return Atomics.load(this.#layout.words, common.orders) !== this.#heardOrders;
  }

  #take(): number | undefined {
    const { words } = this.#layout;
    for (;;) {
      const first = Atomics.load(words, common.head);
      if (first === Atomics.load(words, common.tail)) return undefined;
      const place = Atomics.load(words, this.#layout.inOrder(first));
      const at = this.#layout.place(place) + ofPlace.owner;
      const isMine = Atomics.compareExchange(words, at, owners.nobodyYet, this.#thread) === owners.nobodyYet;
      // Whoever was first: the next place is the next thread's.
      Atomics.compareExchange(words, common.head, first, (first + 1) | 0);
      if (isMine) return place;
    }
  }
}
