// The bodies of requests, received before anybody is authenticated: at most 1 MiB each, and the large ones together within one budget.
import type { IncomingMessage } from 'node:http';
import { BridgeError } from '../../kernel/errors.js';

const mostBytes = 1_048_576;
/** Of each body, outside the budget: whoever fills it with large ones keeps nobody's usual request out. */
const freeBytes = 16_384;
/** What all bodies hold beyond that, from the byte's arrival until the call is answered. */
const mostHeldBytes = 64 * 1_048_576;

export const noBody: Buffer = Buffer.alloc(0);

export const throttled = (): BridgeError => new BridgeError('ThrottlingException', 'Rate exceeded');

export class BodyBudget {
  #heldBytes = 0;

  /** Whether there was room. What was taken must be given back in either case. */
  take(bytes: number): boolean {
    this.#heldBytes += bytes;
    return this.#heldBytes <= mostHeldBytes;
  }

  giveBack(bytes: number): void {
    this.#heldBytes -= bytes;
  }
}

/** `heldBytes` are the receiver's to give back, once the body is no longer needed. */
export type Received = (body: Buffer, heldBytes: number, refusal?: BridgeError) => void;

/**
 * Reads the body; gives up on it, without reading on, when it is too large or the budget is used up. Calls `done` once, or never when the
 * client left before.
 */
export function receive(request: IncomingMessage, budget: BodyBudget, done: Received): void {
  const body = new Body(request, budget, done);
  request.on('data', (chunk: Buffer) => body.add(chunk));
  request.on('end', () => body.end());
}

class Body {
  readonly #request: IncomingMessage;
  readonly #budget: BodyBudget;
  readonly #done: Received;
  #bytes = 0;
  #heldBytes = 0;
  #first = noBody;
  #more: Buffer[] | undefined;

  constructor(request: IncomingMessage, budget: BodyBudget, done: Received) {
    this.#request = request;
    this.#budget = budget;
    this.#done = done;
  }

  add(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > mostBytes) {
      this.#refuse(new BridgeError('RequestEntityTooLargeException', 'The request is larger than 1 MiB.'));
    } else if (this.#bytes > freeBytes && !this.#hold(Math.min(chunk.length, this.#bytes - freeBytes))) {
      this.#refuse(throttled());
    } else if (this.#first === noBody) this.#first = chunk;
    else (this.#more ??= []).push(chunk);
  }

  end(): void {
    const heldBytes = this.#heldBytes;
    this.#heldBytes = 0;
    const body = this.#more === undefined ? this.#first : Buffer.concat([this.#first, ...this.#more]);
    this.#forget();
    this.#done(body, heldBytes);
  }

  #hold(bytes: number): boolean {
    // After the end there is nothing left to let go: the receiver has it.
    if (this.#heldBytes === 0) this.#request.once('close', () => this.#letGo());
    this.#heldBytes += bytes;
    return this.#budget.take(bytes);
  }

  #letGo(): void {
    this.#budget.giveBack(this.#heldBytes);
    this.#heldBytes = 0;
    this.#forget();
  }

  #refuse(refusal: BridgeError): void {
    this.#request.removeAllListeners('data').removeAllListeners('end').pause();
    this.#letGo();
    this.#done(noBody, 0, refusal);
  }

  /** The request outlives its body, until its answer has left. */
  #forget(): void {
    this.#first = noBody;
    this.#more = undefined;
  }
}
