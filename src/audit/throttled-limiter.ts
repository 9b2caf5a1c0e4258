// Calls of authenticated accounts that are over their budget: each account's first of a second is a record, the others are counts, for each
// account apart. An account adds less than 6 MB an hour to a lane by being refused.
import { FloodLimiter, type FloodOptions } from './flood-limiter.js';

/** Those beyond share one: nobody can have more than a configuration names, unless accounts were taken out of it. */
const mostAccounts = 1024;
const others = 'others';

export class ThrottledLimiter {
  readonly #options: FloodOptions;
  readonly #accounts = new Map<string, FloodLimiter>();

  constructor(options: FloodOptions) {
    this.#options = options;
  }

  /** As `FloodLimiter.append`. */
  append(accountId: string, sourceIp: string, reason: string, record: string): Promise<void> {
    return this.#of(accountId).append(sourceIp, reason, record);
  }

  async flush(): Promise<void> {
    await Promise.all([...this.#accounts.values()].map((limiter) => limiter.flush()));
  }

  #of(accountId: string): FloodLimiter {
    const known = this.#accounts.get(accountId);
    if (known !== undefined) return known;
    if (accountId !== others && this.#accounts.size >= mostAccounts) return this.#of(others);
    const limiter = new FloodLimiter(this.#options, {
      eventName: 'ThrottledRequests',
      label: 'reason',
      mostPerSecond: 1,
      mostPerHour: 1000,
      mostPairs: 16,
      details: { accountId },
    });
    this.#accounts.set(accountId, limiter);
    return limiter;
  }
}
