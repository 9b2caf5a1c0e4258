// Calls that failed before anybody was authenticated: some are written one by one, the rest are counted and written as one record now and
// then, so that whoever can reach the port cannot fill the disk, however long he goes on. What it keeps in memory is bounded.
import type { Clock } from '../kernel/clock.js';
import { type ServiceEvent, timestamp } from './service-event.js';

const mostPerSecond = 20;
/** Under 70 MB a day, when every record is as long as a stranger can make it. */
const mostPerHour = 1000;
const hourSeconds = 3600;
const mostPairs = 256;
const longestText = 64;
const flushMs = 1000;
/** Once the hour's records are used up. */
const slowFlushMs = 60_000;

interface Count {
  readonly sourceIPAddress: string;
  readonly errorCode: string;
  count: number;
}

interface Tally {
  readonly pairs: Map<string, Count>;
  /** Requests of further pairs, not told apart. */
  others: number;
  firstMs: number;
  lastMs: number;
}

export class UnauthenticatedLimiter {
  readonly #append: (record: string) => Promise<void>;
  readonly #appendOwn: (record: string) => Promise<void>;
  readonly #event: ServiceEvent;
  readonly #clock: Clock;
  #second = 0;
  #writtenInSecond = 0;
  #hour = 0;
  #writtenInHour = 0;
  #tally: Tally | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `append` writes a caller's record, `appendOwn` one of the log's own. */
  constructor(options: {
    readonly append: (record: string) => Promise<void>;
    readonly appendOwn: (record: string) => Promise<void>;
    readonly event: ServiceEvent;
    readonly clock: Clock;
  }) {
    this.#append = options.append;
    this.#appendOwn = options.appendOwn;
    this.#event = options.event;
    this.#clock = options.clock;
  }

  /** Resolves at once when the request was only counted: the count is then in memory for a second, or for a minute in a long flood. */
  append(sourceIp: string, errorCode: string, record: string): Promise<void> {
    const nowMs = this.#clock.now();
    if (this.#mayWrite(Math.floor(nowMs / 1000))) return this.#append(record);
    this.#count(sourceIp.slice(0, longestText), errorCode.slice(0, longestText), 1, nowMs);
    this.#schedule();
    return Promise.resolve();
  }

  /** Writes what was counted. When that fails the counts are kept for the next time. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const tally = this.#tally;
    if (tally === undefined) return;
    this.#tally = undefined;
    const counts = [...tally.pairs.values()];
    const details = {
      firstTime: timestamp(tally.firstMs),
      lastTime: timestamp(tally.lastMs),
      total: counts.reduce((sum, { count }) => sum + count, tally.others),
      counts,
      others: tally.others,
    };
    try {
      await this.#appendOwn(this.#event('UnauthenticatedRequests', details));
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
    if (this.#writtenInSecond >= mostPerSecond || this.#writtenInHour >= mostPerHour) return false;
    this.#writtenInSecond += 1;
    this.#writtenInHour += 1;
    return true;
  }

  #count(sourceIPAddress: string, errorCode: string, count: number, atMs: number): void {
    this.#tally ??= { pairs: new Map(), others: 0, firstMs: atMs, lastMs: atMs };
    const tally = this.#tally;
    tally.firstMs = Math.min(tally.firstMs, atMs);
    tally.lastMs = Math.max(tally.lastMs, atMs);
    const key = `${errorCode}\0${sourceIPAddress}`;
    const known = tally.pairs.get(key);
    if (known !== undefined) known.count += count;
    else if (tally.pairs.size < mostPairs) tally.pairs.set(key, { sourceIPAddress, errorCode, count });
    else tally.others += count;
  }

  #restore(tally: Tally): void {
    const newer = this.#tally;
    this.#tally = tally;
    if (newer !== undefined) {
      for (const { sourceIPAddress, errorCode, count } of newer.pairs.values()) {
        this.#count(sourceIPAddress, errorCode, count, newer.lastMs);
      }
      tally.others += newer.others;
    }
    this.#schedule();
  }

  #schedule(): void {
    const afterMs = this.#writtenInHour < mostPerHour ? flushMs : slowFlushMs;
    this.#timer ??= setTimeout(() => void this.flush(), afterMs).unref();
  }
}
