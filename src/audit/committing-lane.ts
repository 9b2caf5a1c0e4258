// One gateway's audit log: a queue in front of a single writer. A caller's promise resolves only after fdatasync returned for its record;
// when the disk fails, everything undurable is refused, the chain goes back to its durable head, and nothing is acknowledged until a
// new segment could be begun.
import type { Clock } from '../kernel/clock.js';
import type { Disk } from '../kernel/disk.js';
import { BridgeError } from '../kernel/errors.js';
import type { Random } from '../kernel/random.js';
import type { Timers } from '../kernel/timers.js';
import { mostRecordBytes } from '../model/audit-record.js';
import type { AuditKind, AuditLog } from '../ports/audit.js';
import { Batch } from './batch.js';
import { type ChainHead, chainLine, lineHash } from './chain.js';
import type { FloodOptions } from './flood-limiter.js';
import type { Intents } from './intents.js';
import type { LaneLock } from './lock.js';
import { markClosed } from './closed.js';
import type { Recovered } from './recover.js';
import { makeReserve } from './reserve.js';
import type { SegmentWriter } from './segment-writer.js';
import { type ServiceEvent, type ServiceEventName, serviceEvents } from './service-event.js';
import { Suspension } from './suspension.js';
import { ThrottledLimiter } from './throttled-limiter.js';
import { UnauthenticatedLimiter } from './unauthenticated-limiter.js';

export interface AuditLaneState {
  readonly writable: boolean;
  /** The last durable record. */
  readonly lastSeq: number;
  /** Since the lane was opened: records that were not written and calls that requireWritable turned away. */
  readonly refused: number;
  /** Why it is not writable: an error code of the operating system, or `closed`. */
  readonly reason?: string;
}

export interface AuditLane extends AuditLog {
  state(): AuditLaneState;
  /** Intents found when the lane was opened whose event has not been appended since: JSON, oldest first, at most 4096. */
  unfinishedIntents(): readonly string[];
  /** Writes what is queued, then gives the lane up. */
  close(): Promise<void>;
}

const defaultProbeMs = 1000;
const firstBufferBytes = 256 * 1024;
const mostQueuedRecords = 8192;
const mostQueuedBytes = 8 * 1024 * 1024;

export interface CommittingLaneOptions {
  readonly lane: number;
  readonly clock: Clock;
  readonly disk: Disk;
  /** The lane's own. */
  readonly directory: string;
  readonly timers: Timers;
  readonly random: Random;
  readonly awsRegion?: string;
  readonly probeMs?: number;
}

export class CommittingLane implements AuditLane {
  readonly #setup: CommittingLaneOptions;
  readonly #lock: LaneLock;
  readonly #writer: SegmentWriter;
  readonly #event: ServiceEvent;
  readonly #unauthenticated: UnauthenticatedLimiter;
  readonly #throttled: ThrottledLimiter;
  readonly #intents: Intents;
  readonly #recovered: readonly string[];
  readonly #settledSeq: number;
  /** The last durable record, and the last one in the queue. */
  #durable: ChainHead;
  #queued: ChainHead;
  #pending = new Batch(Buffer.allocUnsafeSlow(firstBufferBytes));
  #spare: Buffer | undefined;
  #scheduled = false;
  #commits: Promise<void> | undefined;
  #suspension: Suspension | undefined;
  #closed = false;
  #refused = 0;
  /** Records turned away that no record of the log tells about yet. */
  #unreported = 0;

  constructor(setup: CommittingLaneOptions, lock: LaneLock, recovered: Recovered, writer: SegmentWriter) {
    this.#setup = setup;
    this.#lock = lock;
    this.#writer = writer;
    this.#event = serviceEvents(setup.clock, setup.random, setup.awsRegion ?? 'local');
    const flood: FloodOptions = {
      append: (record) => this.append('event', record),
      appendOwn: (record) => (this.#blocked ? Promise.reject(cannotWrite()) : this.#enqueue('event', record)),
      event: this.#event,
      clock: setup.clock,
      timers: setup.timers,
    };
    this.#unauthenticated = new UnauthenticatedLimiter(flood);
    this.#throttled = new ThrottledLimiter(flood);
    this.#intents = recovered.intents;
    this.#recovered = recovered.intents.records;
    this.#settledSeq = recovered.settledSeq;
    this.#durable = recovered.head;
    this.#queued = recovered.head;
  }

  async start(): Promise<void> {
    try {
      await makeReserve(this.#setup.disk, this.#setup.random, this.#setup.directory, 0);
    } catch (error) {
      this.#suspend(error);
    }
  }

  requireWritable(): void {
    if (this.#blocked) {
      this.#refused += 1;
      if (this.#suspension !== undefined) this.#suspension.refusedCalls += 1;
      throw cannotWrite();
    }
    // Half of the queue is kept for the outcomes of the calls that have passed here.
    if (this.#isFull(0.5)) throw new BridgeError('ThrottlingException', 'Rate exceeded');
  }

  append(kind: AuditKind, record: string): Promise<void> {
    if (this.#blocked) {
      this.#refuse();
      return Promise.reject(cannotWrite());
    }
    if (this.#isFull(1)) {
      this.#refuse();
      return Promise.reject(new BridgeError('ThrottlingException', 'Rate exceeded'));
    }
    if (isUnfit(record)) {
      this.#refuse();
      return Promise.reject(cannotWrite(new Error('the record is longer than 128 KiB or has a line feed')));
    }
    return this.#enqueue(kind, record);
  }

  appendUnauthenticated(sourceIp: string, errorCode: string, record: string): Promise<void> {
    return this.#blocked ? this.append('event', record) : this.#unauthenticated.append(sourceIp, errorCode, record);
  }

  appendThrottled(accountId: string, sourceIp: string, reason: string, record: string): Promise<void> {
    return this.#blocked ? this.append('event', record) : this.#throttled.append(accountId, sourceIp, reason, record);
  }

  state(): AuditLaneState {
    const reason = this.#closed ? 'closed' : this.#suspension?.reason;
    const counts = { lastSeq: this.#durable.seq, refused: this.#refused };
    return reason === undefined ? { writable: true, ...counts } : { writable: false, ...counts, reason };
  }

  unfinishedIntents(): readonly string[] {
    const open = new Set(this.#intents.records);
    return this.#recovered.filter((record) => open.has(record));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    const { disk, directory } = this.#setup;
    const counted = Promise.all([this.#unauthenticated.flush(), this.#throttled.flush()]);
    this.#closed = true;
    await this.#drain();
    await counted;
    await this.#suspension?.stop();
    try {
      await this.#writer.close();
      const settled = this.#intents.settled && this.#refused === 0;
      const { seq } = this.#durable;
      if (seq > 0) await markClosed(disk, directory, this.#durable, settled ? seq : this.#settledSeq);
    } catch {
      // Every acknowledged record is durable all the same; the next start only reads more.
    } finally {
      await this.#lock.release();
    }
  }

  get #blocked(): boolean {
    return this.#closed || this.#suspension !== undefined;
  }

  #isFull(share: number): boolean {
    return this.#pending.records >= mostQueuedRecords * share || this.#pending.length >= mostQueuedBytes * share;
  }

  #refuse(): void {
    this.#refused += 1;
    if (this.#suspension === undefined) this.#unreported += 1;
    else this.#suspension.rejectedRecords += 1;
  }

  #enqueue(kind: AuditKind, record: string): Promise<void> {
    if (kind === 'intent') this.#intents.add(record);
    else this.#intents.settle(record);
    const line = chainLine(this.#setup.lane, this.#queued, kind, record);
    this.#queued = { seq: this.#queued.seq + 1, hash: lineHash(line) };
    this.#pending.add(line, this.#queued.seq);
    // Not before the end of this turn of the event loop: what the same turn brings shares the commit.
    if (this.#commits === undefined && !this.#scheduled) {
      this.#scheduled = true;
      this.#setup.timers.soon(() => {
        this.#scheduled = false;
        void this.#drain();
      });
    }
    return this.#pending.durable;
  }

  #drain(): Promise<void> | undefined {
    if (this.#pending.records > 0) this.#commits ??= this.#commit();
    return this.#commits;
  }

  /** One commit after the other, until the queue is empty or the disk fails. */
  async #commit(): Promise<void> {
    let last: Batch | undefined;
    while (this.#pending.records > 0) {
      const batch = this.#pending;
      const head = this.#queued;
      this.#pending = new Batch(this.#spare ?? Buffer.allocUnsafeSlow(firstBufferBytes));
      this.#spare = undefined;
      const written = this.#writer.append(batch.bytes, batch.length, batch.firstSeq);
      // Only now that the disk is busy again: answering takes longer than a commit.
      last?.resolve();
      last = undefined;
      try {
        await written;
      } catch (error) {
        this.#fail(batch, error);
        break;
      }
      this.#durable = head;
      this.#spare = batch.bytes;
      last = batch;
      if (this.#unreported > 0 && !this.#closed) this.#reportRefused();
    }
    this.#commits = undefined;
    last?.resolve();
  }

  #reportRefused(): void {
    const rejectedRecords = this.#unreported;
    this.#unreported = 0;
    void this.#enqueue('event', this.#event('AuditRecordsRefused', { rejectedRecords }));
  }

  #fail(batch: Batch, cause: unknown): void {
    const waiting = this.#pending;
    this.#pending = new Batch(batch.bytes);
    this.#queued = this.#durable;
    const suspension = this.#suspend(cause);
    suspension.rejectedRecords = batch.records + waiting.records + this.#unreported;
    this.#refused += batch.records + waiting.records;
    this.#unreported = 0;
    const error = cannotWrite(cause);
    batch.reject(error);
    waiting.reject(error);
  }

  #suspend(cause: unknown): Suspension {
    const { clock, timers, random, disk, directory, probeMs = defaultProbeMs } = this.#setup;
    const suspension = new Suspension({
      cause,
      atMs: clock.now(),
      probeMs,
      timers,
      random,
      disk,
      directory,
      repair: () => this.#writer.repair(),
      write: (eventName, details) => this.#writeOwn(eventName, details),
      resumed: (unreported) => {
        this.#suspension = undefined;
        this.#unreported = unreported;
      },
    });
    this.#suspension = suspension;
    suspension.begin();
    return suspension;
  }

  /** Past the queue, which is empty and closed while the lane is suspended. */
  async #writeOwn(eventName: ServiceEventName, details: Readonly<Record<string, unknown>>): Promise<void> {
    const line = chainLine(this.#setup.lane, this.#durable, 'event', this.#event(eventName, details));
    const bytes = Buffer.from(line);
    const seq = this.#durable.seq + 1;
    await this.#writer.append(bytes, bytes.length, seq);
    this.#durable = { seq, hash: lineHash(line) };
    this.#queued = this.#durable;
  }
}

const cannotWrite = (cause?: unknown): BridgeError =>
  new BridgeError('KMSInternalException', 'The audit log cannot be written.', { cause });

function isUnfit(record: string): boolean {
  const isLong = record.length * 3 > mostRecordBytes && Buffer.byteLength(record) > mostRecordBytes;
  return isLong || record.includes('\n');
}
