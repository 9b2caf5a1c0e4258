// Calls that are refused before any work is done for them: some are written one by one, the rest are counted and written as one record now
// and then, so that nobody can fill the disk with refusals, however long it goes on. What it keeps in memory is bounded.
import type { Clock } from '../kernel/clock.js';
import type { Cancel, Timers } from '../kernel/timers.js';
import { type ServiceEvent, type ServiceEventName, timestamp } from './service-event.js';

const hourSeconds = 3600;
const longestText = 64;
const flushMs = 1000;
/** Once the hour's records are used up. */
const slowFlushMs = 60_000;

export interface FloodRule {
  /** Of the records that count. */
  readonly eventName: ServiceEventName;
  /** What is counted apart beside the source address, as it is printed. */
  readonly label: 'errorCode' | 'reason';
  readonly mostPerSecond: number;
  readonly mostPerHour: number;
  /** Of address and label, told apart in one record. */
  readonly mostPairs: number;
  /** Printed first. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface FloodOptions {
  /** Writes a caller's record. */
  readonly append: (record: string) => Promise<void>;
  /** Writes one of the log's own. */
  readonly appendOwn: (record: string) => Promise<void>;
  readonly event: ServiceEvent;
  readonly clock: Clock;
  readonly timers: Timers;
}

interface Count {
  readonly sourceIPAddress: string;
  readonly label: string;
  count: number;
}

interface Tally {
  readonly pairs: Map<string, Count>;
  /** Requests of further pairs, not told apart. */
  others: number;
  firstMs: number;
  lastMs: number;
}

export class FloodLimiter {
  readonly #options: FloodOptions;
  readonly #rule: FloodRule;
  #second = 0;
  #writtenInSecond = 0;
  #hour = 0;
  #writtenInHour = 0;
  #tally: Tally | undefined;
  #cancelFlush: Cancel | undefined;

  constructor(options: FloodOptions, rule: FloodRule) {
    this.#options = options;
    this.#rule = rule;
  }

  /** Resolves at once when the request was only counted: the count is then in memory for a second, or for a minute in a long flood. */
  append(sourceIp: string, label: string, record: string): Promise<void> {
    const nowMs = this.#options.clock.now();
    if (this.#mayWrite(Math.floor(nowMs / 1000))) return this.#options.append(record);
    this.#count(sourceIp.slice(0, longestText), label.slice(0, longestText), 1, nowMs);
    this.#schedule();
    return Promise.resolve();
  }

  /** Writes what was counted. When that fails the counts are kept for the next time. */
  async flush(): Promise<void> {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    const tally = this.#tally;
    if (tally === undefined) return;
    this.#tally = undefined;
    const { eventName, details: first, label: printed } = this.#rule;
    const counted = [...tally.pairs.values()];
    const details = {
      ...first,
      firstTime: timestamp(tally.firstMs),
      lastTime: timestamp(tally.lastMs),
      total: counted.reduce((sum, { count }) => sum + count, tally.others),
      counts: counted.map(({ sourceIPAddress, label, count }) => ({ sourceIPAddress, [printed]: label, count })),
      others: tally.others,
    };
    try {
      await this.#options.appendOwn(this.#options.event(eventName, details));
    } catch {
      this.#restore(tally);
    }
  }

  #mayWrite(second: number): boolean {
    const hour = Math.floor(second / hourSeconds);
    if (hour !== this.#hour) {
      this.#hour = hour;
      this.#writtenInHour = 0;
    }
    if (second !== this.#second) {
      this.#second = second;
      this.#writtenInSecond = 0;
    }
    const { mostPerSecond, mostPerHour } = this.#rule;
    if (this.#writtenInSecond >= mostPerSecond || this.#writtenInHour >= mostPerHour) return false;
    this.#writtenInSecond += 1;
    this.#writtenInHour += 1;
    return true;
  }

  #count(sourceIPAddress: string, label: string, count: number, atMs: number): void {
    this.#tally ??= { pairs: new Map(), others: 0, firstMs: atMs, lastMs: atMs };
    const tally = this.#tally;
    tally.firstMs = Math.min(tally.firstMs, atMs);
    tally.lastMs = Math.max(tally.lastMs, atMs);
    const key = `${label}\0${sourceIPAddress}`;
    const known = tally.pairs.get(key);
    if (known !== undefined) known.count += count;
    else if (tally.pairs.size < this.#rule.mostPairs) tally.pairs.set(key, { sourceIPAddress, label, count });
    else tally.others += count;
  }

  #restore(tally: Tally): void {
    const newer = this.#tally;
    this.#tally = tally;
    if (newer !== undefined) {
      for (const { sourceIPAddress, label, count } of newer.pairs.values()) {
        this.#count(sourceIPAddress, label, count, newer.lastMs);
      }
      tally.others += newer.others;
    }
    this.#schedule();
  }

  #schedule(): void {
    const afterMs = this.#writtenInHour < this.#rule.mostPerHour ? flushMs : slowFlushMs;
    this.#cancelFlush ??= this.#options.timers.after(afterMs, () => void this.flush());
  }
}
