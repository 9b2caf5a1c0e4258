// What a pool's threads and the host's main thread share: places for requests and their answers, and the order in which threads are to take them. Each
// request is taken by one thread. Both are copied out and overwritten with zeros at once: a library is not given memory that another thread can see.
import { maxPayloadBytes } from '../frames.js';

/** Indices of words that are there once. */
export const common = { turn: 0, head: 1, tail: 2, answers: 3, orders: 4 } as const;
/** After `Layout.place`. */
export const ofPlace = { owner: 0, op: 1, requestBytes: 2, status: 3, answerBytes: 4 } as const;
/** After `Layout.thread`. */
export const ofThread = { told: 0, news: 1 } as const;
const orderAt = Object.keys(common).length;

/** Owners that are no threads, whose numbers begin at 0. */
export const owners = { nobodyYet: -1, answered: -2, nobody: -3 } as const;
/** Instead of a status. */
export const noSense = -1;

export interface ThreadRequest {
  readonly op: number;
  readonly payload: Buffer;
}

/** Can be sent to a thread. */
export interface Shared {
  readonly places: number;
  readonly threads: number;
  readonly words: SharedArrayBuffer;
  /** Of what is not written, no memory is used. */
  readonly payloads: SharedArrayBuffer;
}

/** A power of two, so that counts may go beyond what 32 bits hold; more than can lie in it, with what lies there twice. */
const orderLength = ({ places, threads }: Pick<Shared, 'places' | 'threads'>): number =>
  2 ** Math.ceil(Math.log2(2 * (places + threads)));
const wordsOfPlace = Object.keys(ofPlace).length;
const wordsOfThread = Object.keys(ofThread).length;

export function share(places: number, threads: number): Shared {
  const words = orderAt + orderLength({ places, threads }) + wordsOfPlace * places + wordsOfThread * threads;
  return {
    places,
    threads,
    words: new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT),
    payloads: new SharedArrayBuffer(2 * places * maxPayloadBytes),
  };
}

export class Layout {
  readonly words: Int32Array;
  readonly #orderMask: number;
  readonly #requests: readonly Buffer[];
  readonly #answers: readonly Buffer[];
  readonly #threadsAt: number;

  constructor(shared: Shared) {
    this.words = new Int32Array(shared.words);
    this.#orderMask = orderLength(shared) - 1;
    this.#threadsAt = this.place(shared.places);
    const area = (at: number): Buffer => Buffer.from(shared.payloads, at * maxPayloadBytes, maxPayloadBytes);
    this.#requests = Array.from({ length: shared.places }, (_, place) => area(2 * place));
    this.#answers = Array.from({ length: shared.places }, (_, place) => area(2 * place + 1));
  }

  place(place: number): number {
    return orderAt + this.#orderMask + 1 + wordsOfPlace * place;
  }

  thread(thread: number): number {
    return this.#threadsAt + wordsOfThread * thread;
  }

  inOrder(count: number): number {
    return orderAt + (count & this.#orderMask);
  }

  request(place: number, bytes: number): Buffer {
    return room(this.#requests, place, bytes);
  }

  answer(place: number, bytes: number): Buffer {
    return room(this.#answers, place, bytes);
  }
}

function room(areas: readonly Buffer[], place: number, bytes: number): Buffer {
  const area = areas[place];
  if (area === undefined || bytes > area.length) throw new RangeError('there is no such room');
  return area.subarray(0, bytes);
}
