// Requests that wait for a thread: gateways in turn, each one's in their order. Payloads are copies, overwritten when nobody needs them.
import type { ThreadRequest } from './shared-places.js';

export interface PoolRequest extends ThreadRequest {
  readonly id: number;
  /** Which gateway it is of. */
  readonly from: object;
}

export type RequestId = Pick<PoolRequest, 'id' | 'from'>;

export class Waiting {
  /** In the order of their turns. */
  readonly #queues = new Map<object, PoolRequest[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** False: there are `room` already. */
  add(request: PoolRequest, room: number): boolean {
    if (this.#size >= room) return false;
    const own = { ...request, payload: Buffer.from(request.payload) };
    const queue = this.#queues.get(request.from);
    if (queue === undefined) this.#queues.set(request.from, [own]);
    else queue.push(own);
    this.#size += 1;
    return true;
  }

  next(): PoolRequest | undefined {
    for (const [from, queue] of this.#queues) {
      const request = queue.shift();
      this.#queues.delete(from);
      if (queue.length > 0) this.#queues.set(from, queue);
      if (request !== undefined) this.#size -= 1;
      return request;
    }
    return undefined;
  }

  /** Those that are forgotten, without their payloads. */
  forget(from: object): readonly RequestId[] {
    const queue = this.#queues.get(from) ?? [];
    this.#queues.delete(from);
    this.#size -= queue.length;
    for (const { payload } of queue) payload.fill(0);
    return queue;
  }

  /** Without their payloads: they are not performed. */
  takeAll(): RequestId[] {
    const all = [...this.#queues.values()].flat();
    for (const from of [...this.#queues.keys()]) this.forget(from);
    return all;
  }
}
