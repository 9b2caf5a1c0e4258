// The intents whose event has not been appended yet: what a start must tell about, and what keeps a close from being called settled.

/** As many calls as a gateway serves at once; beyond it the oldest is forgotten and nothing counts as settled any more. */
const mostIntents = 4096;

export class Intents {
  /** By what the event of the same call contains. */
  readonly #open = new Map<string, string>();
  #forgot = false;

  add(record: string): void {
    const key = requestKey(record);
    if (key === undefined) return;
    this.#open.set(key, record);
    if (this.#open.size <= mostIntents) return;
    const [oldest] = this.#open.keys();
    if (oldest !== undefined) this.#open.delete(oldest);
    this.#forgot = true;
  }

  /** Costs nothing while no intent is open, which is almost always. */
  settle(record: string): void {
    if (this.#open.size === 0) return;
    for (const key of this.#open.keys()) if (record.includes(key)) this.#open.delete(key);
  }

  get records(): readonly string[] {
    return [...this.#open.values()];
  }

  get settled(): boolean {
    return this.#open.size === 0 && !this.#forgot;
  }
}

/** A quote inside a JSON string is escaped, so no value can imitate this; a key of the same name deeper in another record could. */
function requestKey(record: string): string | undefined {
  const parsed: unknown = JSON.parse(record);
  if (typeof parsed !== 'object' || parsed === null || !('requestID' in parsed)) return undefined;
  return typeof parsed.requestID === 'string' ? `"requestID":${JSON.stringify(parsed.requestID)}` : undefined;
}
