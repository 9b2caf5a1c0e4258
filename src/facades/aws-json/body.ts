// The bodies of requests, received before anybody is authenticated: at most 1 MiB each, and the large ones together within one budget. A body
// is one growing buffer, and what counts is the memory that it holds, however it was cut into pieces.
import type { IncomingMessage } from 'node:http';
import { BridgeError } from '../../kernel/errors.js';

const mostBytes = 1_048_576;
/** The first bytes of each body are outside the budget, so that large bodies which use it up do not keep usual requests out. */
const freeBytes = 8_192;
/** A body whose length was not stated comes in so many pieces at most, and with so much around them: each costs as much as a packet. */
const mostPieces = 1024;
const mostWireBytes = 2 * mostBytes;

export const noBody: Buffer = Buffer.alloc(0);

export const throttled = (): BridgeError => new BridgeError('ThrottlingException', 'Rate exceeded');
export const tooLarge = (): BridgeError =>
  new BridgeError('RequestEntityTooLargeException', 'The request is larger than 1 MiB.');

export const isTooLarge = (statedBytes: number | undefined): boolean =>
  statedBytes !== undefined && statedBytes > mostBytes;

/** What the bodies of many calls hold together beyond what each may hold freely, from the byte's arrival until the call is answered. */
export class BodyBudget {
  readonly #mostHeldBytes: number;
  readonly #whole: BodyBudget | undefined;
  #heldBytes = 0;

  /** `whole`: what it is a part of. */
  constructor(mostHeldBytes: number, whole?: BodyBudget) {
    this.#mostHeldBytes = mostHeldBytes;
    this.#whole = whole;
  }

  /** Whether there was room. What was taken must be given back in either case. */
  take(bytes: number): boolean {
    this.#heldBytes += bytes;
    const hasWhole = this.#whole?.take(bytes) ?? true;
    return hasWhole && this.#heldBytes <= this.#mostHeldBytes;
  }

  giveBack(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#whole?.giveBack(bytes);
  }
}

/** `heldBytes` are the receiver's to give back, once the body is no longer needed. */
export type Received = (body: Buffer, heldBytes: number, refusal?: BridgeError) => void;

/**
 * Reads the body; gives up on it, keeping nothing of what still comes, when it is too large or the budget is used up. `statedBytes` is its
 * Content-Length; undefined: it comes in chunks, or there is none. Calls `done` once, or never when the client left before.
 */
export function receive(
  request: IncomingMessage,
  statedBytes: number | undefined,
  budget: BodyBudget,
  done: Received,
): void {
  const body = new Body(request, statedBytes, budget, done);
  request.on('data', (chunk: Buffer) => body.add(chunk));
  request.on('end', () => body.end());
}

/**
 * Gives up on the body: what the parser still finds of it is let go at once, and nothing more is read. A stream that nobody reads would keep
 * each piece of it, and one that flows would go on asking for more.
 */
export function discard(request: IncomingMessage): void {
  request.removeAllListeners('data').removeAllListeners('end');
  request.push = () => true;
  request._read = () => undefined;
  request.socket.pause();
}

class Body {
  readonly #request: IncomingMessage;
  readonly #statedBytes: number | undefined;
  readonly #budget: BodyBudget;
  readonly #done: Received;
  readonly #readBefore: number;
  #pieces = 0;
  #heldBytes = 0;
  /** Filled up to `#bytes`. */
  #buffer = noBody;
  #bytes = 0;

  constructor(request: IncomingMessage, statedBytes: number | undefined, budget: BodyBudget, done: Received) {
    this.#request = request;
    this.#statedBytes = statedBytes;
    this.#budget = budget;
    this.#done = done;
    this.#readBefore = statedBytes === undefined ? request.socket.bytesRead : 0;
  }

  add(chunk: Buffer): void {
    const bytes = this.#bytes + chunk.length;
    if (bytes > mostBytes || (this.#statedBytes === undefined && this.#isWasteful())) this.#refuse(tooLarge());
    else if (bytes > this.#buffer.length && !this.#hold(this.#capacityFor(bytes))) this.#refuse(throttled());
    else {
      // The usual body comes whole, and is not copied.
      if (chunk.length === this.#statedBytes) this.#buffer = chunk;
      else this.#append(chunk, bytes);
      this.#bytes = bytes;
    }
  }

  end(): void {
    if (this.#request.rawTrailers.length > 0) {
      // All of it has been read: the connection goes on.
      this.#letGo();
      this.#done(noBody, 0, new BridgeError('SerializationException', 'Trailers are not accepted.'));
      return;
    }
    const heldBytes = this.#heldBytes;
    this.#heldBytes = 0;
    const body = this.#bytes === this.#buffer.length ? this.#buffer : this.#buffer.subarray(0, this.#bytes);
    this.#buffer = noBody;
    this.#done(body, heldBytes);
  }

  #isWasteful(): boolean {
    this.#pieces += 1;
    return this.#pieces > mostPieces || this.#request.socket.bytesRead - this.#readBefore > mostWireBytes;
  }

  /** No more than twice what came: a request that announces much and sends little holds little. */
  #capacityFor(bytes: number): number {
    return Math.min(Math.max(bytes, 2 * this.#buffer.length), this.#statedBytes ?? mostBytes);
  }

  #append(chunk: Buffer, bytes: number): void {
    if (bytes > this.#buffer.length) {
      // Not from Node's pool, of which the smallest piece holds the whole.
      const larger = Buffer.allocUnsafeSlow(this.#capacityFor(bytes));
      this.#buffer.copy(larger, 0, 0, this.#bytes);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#bytes);
  }

  /** `capacity`: of the one buffer; what it held before is part of it. */
  #hold(capacity: number): boolean {
    const more = Math.max(0, capacity - freeBytes) - this.#heldBytes;
    if (more <= 0) return true;
    // After the end there is nothing left to let go: the receiver has it.
    if (this.#heldBytes === 0) this.#request.once('close', () => this.#letGo());
    this.#heldBytes += more;
    return this.#budget.take(more);
  }

  #letGo(): void {
    this.#budget.giveBack(this.#heldBytes);
    this.#heldBytes = 0;
    // The request outlives its body, until its answer has left.
    this.#buffer = noBody;
  }

  #refuse(refusal: BridgeError): void {
    discard(this.#request);
    this.#letGo();
    this.#done(noBody, 0, refusal);
  }
}
