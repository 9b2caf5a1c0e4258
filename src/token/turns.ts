// Whose call goes to the token host next. What lies there is what the next asker waits for, so only a window of calls does; beyond it each
// asker has a queue of its own, and they are served in turn. Nothing is lost or given twice, and one asker's calls keep their order.

export interface TurnsOptions {
  /** Places for calls that are at the host. */
  readonly window: number;
  /** Places for all calls that have not left, those of accounts together, while there is a host. */
  readonly room: number;
  /** And while there is none. */
  readonly roomWhileAway: number;
}

/** A call takes a place for each of these, so that places bound bytes too. All calls of accounts are smaller. */
const placeBytes = 8192;

export const placesOf = (bytes: number): number => 1 + Math.floor(bytes / placeBytes);

export interface Call<C> {
  readonly queue: Queue<C>;
  readonly places: number;
}

/** One asker's calls, and the places that they take. Only `Turns` makes and changes it. */
export class Queue<C> {
  /** Shared with the other accounts, or the daemon's alone. */
  readonly room: { taken: number };
  readonly waiting = new Set<C>();
  taken = 0;
  atHost = 0;

  constructor(room: { taken: number }) {
    this.room = room;
  }
}

/**
 * Of the window as of the room an asker gets no more than it leaves free: half of it when it is alone, a third when there are two. So the
 * next one always finds some, however many calls the others make, and is not kept waiting by calls that take the host long.
 */
export class Turns<C extends Call<C>> {
  readonly #options: TurnsOptions;
  readonly #accounts = { taken: 0 };
  readonly #own = { taken: 0 };
  /** Those with waiting calls, the next one first. */
  readonly #round = new Set<Queue<C>>();
  #isOpen = false;
  #window: number;
  #atHost = 0;
  #waiting = 0;

  constructor(options: TurnsOptions) {
    this.#options = options;
    this.#window = options.window;
  }

  /** `own`: the daemon's calls have a room of their own, which accounts cannot fill. */
  queue(own: boolean): Queue<C> {
    return new Queue(own ? this.#own : this.#accounts);
  }

  /** Calls that no host has. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Places of the calls that the host has. */
  get atHost(): number {
    return this.#atHost;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** There is a host: `next` gives it what waits, and so much at once. */
  open(window = this.#options.window): void {
    this.#window = window;
    this.#isOpen = true;
  }

  /** There is none. What the last one had has to `leave`. */
  close(): void {
    this.#isOpen = false;
  }

  /** May the asker make another call? */
  admits({ taken, room }: Queue<C>): boolean {
    return taken < (this.#isOpen ? this.#options.room : this.#options.roomWhileAway) - room.taken;
  }

  /** How many calls would be given before the asker's next one, when all askers who wait go on in turn. */
  ahead({ waiting }: Queue<C>): number {
    return Math.min(this.#waiting, (waiting.size + 1) * this.#round.size);
  }

  /** Takes a call in. True: it is given to the host now; false: it waits for `next`. */
  enter(call: C): boolean {
    const { queue, places } = call;
    queue.taken += places;
    queue.room.taken += places;
    if (queue.waiting.size === 0 && this.#mayGive(queue)) {
      this.#give(call);
      return true;
    }
    if (queue.waiting.size === 0) this.#round.add(queue);
    queue.waiting.add(call);
    this.#waiting += 1;
    return false;
  }

  /** The waiting call that is given to the host now, if any may be. An asker that has its share there is passed over and keeps its turn. */
  next(): C | undefined {
    if (this.#waiting === 0) return undefined;
    for (const queue of this.#round) {
      if (!this.#mayGive(queue)) continue;
      for (const call of queue.waiting) {
        this.#drop(call);
        this.#give(call);
        if (this.#round.delete(queue)) this.#round.add(queue);
        return call;
      }
    }
    return undefined;
  }

  /** A call is over: the host has answered it or is gone, or nobody waits for it any more and no host has it. Once for each. */
  leave(call: C): void {
    const { queue, places } = call;
    queue.taken -= places;
    queue.room.taken -= places;
    if (this.#drop(call)) return;
    queue.atHost -= places;
    this.#atHost -= places;
  }

  #mayGive(queue: Queue<C>): boolean {
    return this.#isOpen && queue.atHost < this.#window - this.#atHost;
  }

  #give({ queue, places }: C): void {
    queue.atHost += places;
    this.#atHost += places;
  }

  #drop(call: C): boolean {
    const { queue } = call;
    if (!queue.waiting.delete(call)) return false;
    this.#waiting -= 1;
    if (queue.waiting.size === 0) this.#round.delete(queue);
    return true;
  }
}
