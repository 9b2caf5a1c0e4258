// What a thread and the host's main thread share: one request and one answer at a time, and whose turn it is. Both are copied out and overwritten with
// zeros at once: a library is not given memory that another thread can see.
import { maxPayloadBytes } from '../frames.js';

/** Indices into the words. */
const turn = 0;
const hasRequest = 1;
const op = 2;
const requestBytes = 3;
const status = 4;
const answerBytes = 5;
const wordCount = 6;

export interface ThreadBuffers {
  readonly words: SharedArrayBuffer;
  readonly request: SharedArrayBuffer;
  readonly answer: SharedArrayBuffer;
}

export interface ThreadRequest {
  readonly op: number;
  readonly payload: Buffer;
}

export const threadBuffers = (): ThreadBuffers => ({
  words: new SharedArrayBuffer(wordCount * Int32Array.BYTES_PER_ELEMENT),
  // Of what is not written, no memory is used.
  request: new SharedArrayBuffer(maxPayloadBytes),
  answer: new SharedArrayBuffer(maxPayloadBytes),
});

export class ThreadMemory {
  readonly #words: Int32Array;
  readonly #request: Buffer;
  readonly #answer: Buffer;
  #seen = 0;

  constructor(buffers: ThreadBuffers) {
    this.#words = new Int32Array(buffers.words);
    this.#request = Buffer.from(buffers.request);
    this.#answer = Buffer.from(buffers.answer);
  }

  /** By the main thread: wakes the thread, with or without something to perform. */
  wake(request?: ThreadRequest): void {
    const words = this.#words;
    if (request !== undefined) {
      this.#request.set(request.payload);
      words[op] = request.op;
      words[requestBytes] = request.payload.length;
      Atomics.store(words, hasRequest, 1);
    }
    Atomics.add(words, turn, 1);
    Atomics.notify(words, turn);
  }

  /** By the main thread, when the thread says that it has answered. */
  takeAnswer(): { readonly status: number; readonly payload: Buffer } {
    const bytes = this.#words[answerBytes] ?? 0;
    const shared = this.#answer.subarray(0, bytes);
    const payload = Buffer.from(shared);
    shared.fill(0);
    return { status: this.#words[status] ?? 0, payload };
  }

  /** By the thread: sleeps until it is woken. */
  sleep(): void {
    Atomics.wait(this.#words, turn, this.#seen);
    this.#seen = Atomics.load(this.#words, turn);
  }

  /** By the thread; undefined when it was woken for something else. What the main thread did before it wrote the request can be seen. */
  takeRequest(): ThreadRequest | undefined {
    const words = this.#words;
    if (Atomics.exchange(words, hasRequest, 0) !== 1) return undefined;
    const shared = this.#request.subarray(0, words[requestBytes]);
    const payload = Buffer.from(shared);
    shared.fill(0);
    return { op: words[op] ?? 0, payload };
  }

  /** By the thread, before it says so. */
  answer(ownStatus: number, payload: Buffer): void {
    this.#answer.set(payload);
    this.#words[status] = ownStatus;
    this.#words[answerBytes] = payload.length;
  }
}
