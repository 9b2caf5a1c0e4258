// Order between making a key and saying whether it is there. A gateway that starts asks for the keys that an earlier one had begun, and forgets
// those that are not there; the earlier one's requests may still be on their way. So what is being made is waited for, and what was said not to
// be there is never made any more: a key whose row is gone would stay in the token for good.

/** Requests are on their way for seconds; a start asks for as many keys as were being made. */
const mostAbsent = 10_000;

export class MakingOrder {
  /** By CKA_ID in hex, with what waits for the end of it. */
  readonly #underWay = new Map<string, (() => void)[]>();
  readonly #absent = new Set<string>();

  /** False: it must not be made. Otherwise `end` follows, whatever became of it. */
  begin(ckaId: Buffer): boolean {
    const name = ckaId.toString('hex');
    if (this.#absent.has(name)) return false;
    this.#underWay.set(name, this.#underWay.get(name) ?? []);
    return true;
  }

  end(ckaId: Buffer): void {
    const name = ckaId.toString('hex');
    const waiting = this.#underWay.get(name) ?? [];
    this.#underWay.delete(name);
    for (const look of waiting) look();
  }

  /** Calls `look` at once, or when the key is made or will not be. */
  whenNotUnderWay(ckaId: Buffer, look: () => void): void {
    const waiting = this.#underWay.get(ckaId.toString('hex'));
    if (waiting === undefined) look();
    else waiting.push(look);
  }

  /** A gateway is told that the token has no such key. */
  saidAbsent(ckaId: Buffer): void {
    const oldest = this.#absent.size >= mostAbsent ? this.#absent.values().next().value : undefined;
    if (oldest !== undefined) this.#absent.delete(oldest);
    this.#absent.add(ckaId.toString('hex'));
  }
}
