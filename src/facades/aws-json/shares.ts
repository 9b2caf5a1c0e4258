// Connections that accounts have signed well on. When there is no room for one more, the account with the most of them loses the one that it
// has not used for longest: nobody keeps the others out by keeping connections open.

export interface Held {
  /** Since it was last looked at. */
  used: boolean;
  /** It waits for no answer. */
  readonly isIdle: boolean;
}

export class Shares<T extends Held> {
  readonly #ofAccount = new Map<string, Set<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(held: T, accountId: string): void {
    const known = this.#ofAccount.get(accountId);
    if (known === undefined) this.#ofAccount.set(accountId, new Set([held]));
    else known.add(held);
    this.#size += 1;
  }

  delete(held: T, accountId: string): void {
    const known = this.#ofAccount.get(accountId);
    if (known?.delete(held) !== true) return;
    this.#size -= 1;
    if (known.size === 0) this.#ofAccount.delete(accountId);
  }

  /** Which one has to go. What is in use, or was since the last look, is passed over and is looked at last the next time; undefined: all wait for answers. */
  spare(): T | undefined {
    let most = new Set<T>();
    for (const ofAccount of this.#ofAccount.values()) if (ofAccount.size > most.size) most = ofAccount;
    // Twice round: after the first time none counts as used.
    for (let looks = 2 * most.size; looks > 0; looks -= 1) {
      const [held] = most;
      if (held === undefined) return undefined;
      if (held.isIdle && !held.used) return held;
      held.used = false;
      most.delete(held);
      most.add(held);
    }
    return undefined;
  }
}
