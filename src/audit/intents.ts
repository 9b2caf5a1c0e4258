// The intents whose event has not been appended yet: what a start must tell about, and what keeps a close from being called settled.
import type { ChainRecord } from './chain.js';

/** As many calls as a gateway serves at once; beyond it the oldest is forgotten and nothing counts as settled any more. */
const mostIntents = 4096;

export class Intents {
  /** By requestID. */
  readonly #open = new Map<string, string>();
  readonly #keepRecords: boolean;
  #forgot = false;

  /** `keepRecords` false: only how many are open is wanted, and whoever wrote the records is not trusted to keep them short. */
  constructor(keepRecords = true) {
    this.#keepRecords = keepRecords;
  }

  /** A record read back from the log. */
  note({ kind, record }: ChainRecord): void {
    if (kind === 'intent') this.add(record.toString());
    else if (this.#open.size > 0) this.settle(record.toString());
  }

  add(record: string): void {
    const id = this.#idIn(record);
    this.#open.set(id, this.#keepRecords ? record : '');
    if (this.#open.size <= mostIntents) return;
    const [oldest] = this.#open.keys();
    if (oldest !== undefined) this.#open.delete(oldest);
    this.#forgot = true;
  }

  /** Costs nothing while no intent is open. */
  settle(record: string): void {
    if (this.#open.size > 0) this.#open.delete(this.#idIn(record));
  }

  /** How many are open, at most 4096. */
  get size(): number {
    return this.#open.size;
  }

  get records(): readonly string[] {
    return [...this.#open.values()];
  }

  get settled(): boolean {
    return this.#open.size === 0 && !this.#forgot;
  }

  #idIn(record: string): string {
    const id = requestIdIn(record);
    // A copy: V8 would keep the whole record with a part of it.
    return this.#keepRecords ? id : Buffer.from(id.slice(0, longestId)).toString();
  }
}

const longestId = 64;

const field = '"requestID":"';

/** The last one: what a caller can name so comes before it, and a quote inside a JSON string is escaped (`auditRecord`). */
function requestIdIn(record: string): string {
  const at = record.lastIndexOf(field) + field.length;
  return record.slice(at, record.indexOf('"', at));
}
