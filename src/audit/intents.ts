// The intents whose event has not been appended yet: what a start must tell about, and what keeps a close from being called settled.

/** As many calls as a gateway serves at once; beyond it the oldest is forgotten and nothing counts as settled any more. */
const mostIntents = 4096;

export class Intents {
  /** By requestID. */
  readonly #open = new Map<string, string>();
  #forgot = false;

  add(record: string): void {
    this.#open.set(requestIdIn(record), record);
    if (this.#open.size <= mostIntents) return;
    const [oldest] = this.#open.keys();
    if (oldest !== undefined) this.#open.delete(oldest);
    this.#forgot = true;
  }

  /** Costs nothing while no intent is open. */
  settle(record: string): void {
    if (this.#open.size > 0) this.#open.delete(requestIdIn(record));
  }

  get records(): readonly string[] {
    return [...this.#open.values()];
  }

  get settled(): boolean {
    return this.#open.size === 0 && !this.#forgot;
  }
}

const field = '"requestID":"';

/** The last one: what a caller can name so comes before it, and a quote inside a JSON string is escaped (`auditRecord`). */
function requestIdIn(record: string): string {
  const at = record.lastIndexOf(field) + field.length;
  return record.slice(at, record.indexOf('"', at));
}
