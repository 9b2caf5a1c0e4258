// The main thread's end of what a pool shares with its threads.
import {
  common,
  Layout,
  noSense,
  ofPlace,
  ofThread,
  owners,
  type Shared,
  type ThreadRequest,
} from './shared-places.js';

export class PoolMemory {
  readonly shared: Shared;
  readonly #layout: Layout;
  readonly #onAnswers: () => void;
  #heard = 0;

  /** `onAnswers` is called when there are answers to be taken: once for all that there are. */
  constructor(shared: Shared, onAnswers: () => void) {
    this.shared = shared;
    this.#layout = new Layout(shared);
    this.#onAnswers = onAnswers;
    for (let place = 0; place < shared.places; place++) this.#layout.words[this.#layout.place(place)] = owners.nobody;
    this.#listen();
  }

  /** Into a place that nobody has: the next thread that is free takes it. */
  give(place: number, request: ThreadRequest): void {
    const { words } = this.#layout;
    const at = this.#layout.place(place);
    this.#layout.request(place, request.payload.length).set(request.payload);
    words[at + ofPlace.op] = request.op;
    words[at + ofPlace.requestBytes] = request.payload.length;
    words[at + ofPlace.answerBytes] = 0;
    Atomics.store(words, at + ofPlace.owner, owners.nobodyYet);
    const next = Atomics.load(words, common.tail);
    words[this.#layout.inOrder(next)] = place;
    Atomics.store(words, common.tail, (next + 1) | 0);
    this.#wake(1);
  }

  /** Takes back what no thread has taken. False: one has. */
  takeBack(place: number): boolean {
    const at = this.#layout.place(place);
    if (
      Atomics.compareExchange(this.#layout.words, at + ofPlace.owner, owners.nobodyYet, owners.nobody) !==
      owners.nobodyYet
    )
      return false;
    this.#clear(place);
    return true;
  }

  /** The thread that performs what lies there. */
  ownerOf(place: number): number | undefined {
    const thread = Atomics.load(this.#layout.words, this.#layout.place(place) + ofPlace.owner);
    return thread < 0 ? undefined : thread;
  }

  isAnswered(place: number): boolean {
    return Atomics.load(this.#layout.words, this.#layout.place(place) + ofPlace.owner) === owners.answered;
  }

  /** Gives `use` the answer, and the place back. Without a status: the request makes no sense. */
  takeAnswer(place: number, use: (status: number | undefined, payload: Buffer) => void): void {
    const { words } = this.#layout;
    const at = this.#layout.place(place);
    const own = words[at + ofPlace.status] ?? noSense;
    try {
      use(own === noSense ? undefined : own, this.#layout.answer(place, words[at + ofPlace.answerBytes] ?? 0));
    } finally {
      this.free(place);
    }
  }

  /** Gives the place of a thread back that has ended. */
  free(place: number): void {
    this.#clear(place);
    Atomics.store(this.#layout.words, this.#layout.place(place) + ofPlace.owner, owners.nobody);
  }

  /** An order has been sent: who is idle hears it now, and the others before what they take from now on. */
  ordered(): void {
    Atomics.add(this.#layout.words, common.orders, 1);
    this.#wake(this.shared.threads);
  }

  /** The thread has been sent what it asked for. */
  tell(thread: number): void {
    const at = this.#layout.thread(thread) + ofThread.told;
    Atomics.add(this.#layout.words, at, 1);
    Atomics.notify(this.#layout.words, at);
  }

  /** How much news the thread has sent. */
  newsOf(thread: number): number {
    return Atomics.load(this.#layout.words, this.#layout.thread(thread) + ofThread.news);
  }

  #wake(threads: number): void {
    Atomics.add(this.#layout.words, common.turn, 1);
    Atomics.notify(this.#layout.words, common.turn, threads);
  }

  #clear(place: number): void {
    const { words } = this.#layout;
    const at = this.#layout.place(place);
    this.#layout.request(place, words[at + ofPlace.requestBytes] ?? 0).fill(0);
    this.#layout.answer(place, words[at + ofPlace.answerBytes] ?? 0).fill(0);
  }

  #listen(): void {
    for (;;) {
      const waiting = Atomics.waitAsync(this.#layout.words, common.answers, this.#heard);
      if (waiting.async) {
        void waiting.value.then(() => {
          this.#hear();
          this.#listen();
        });
        return;
      }
      this.#hear();
    }
  }

  #hear(): void {
    this.#heard = Atomics.load(this.#layout.words, common.answers);
    this.#onAnswers();
  }
}
