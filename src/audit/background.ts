// Verifies all lanes beside the daemon's work, again and again, in pieces so small and so far apart that neither the event loop nor the disk
// is held up. Damage is an alarm: it is told once in each round, and nothing is stopped or changed.
import type { Clock } from '../kernel/clock.js';
import type { Disk } from '../kernel/disk.js';
import type { Timers } from '../kernel/timers.js';
import type { BadLine } from './chain.js';
import { findLanes, type LaneProgress, verifyLane } from './verify.js';

export interface AuditFinding extends BadLine {
  readonly lane: number;
}

export interface VerificationState {
  /** `damaged`: in this round or in the last one. `running`: until the first round has ended. */
  readonly state: 'running' | 'sound' | 'damaged';
  readonly damagedLanes: number;
  /** That hold, in this round so far, or in the last one. */
  readonly records: number;
  /** When the last whole round ended: milliseconds since 1970. */
  readonly endedAtMs: number | undefined;
  /** One line for an operator. */
  readonly detail: string;
}

export interface VerificationOptions {
  /** Holds the lanes. */
  readonly directory: string;
  /** The lane this process writes, and its last durable record: so much must be there. */
  readonly own: { readonly lane: number; readonly lastSeq: () => number };
  readonly clock: Clock;
  readonly timers: Timers;
  readonly onDamage: (finding: AuditFinding) => void;
  readonly disk?: Disk;
  readonly pieceBytes?: number;
  readonly bytesPerSecond?: number;
  /** From the end of a round to the next one. */
  readonly everyMs?: number;
}

export interface BackgroundVerification {
  state(): VerificationState;
  /** Resolves when nothing of it runs any more: at once, but for a read under way. */
  stop(): Promise<void>;
}

/** Verified in well under a millisecond. */
const defaultPieceBytes = 64 * 1024;
/** About a hundredth of a core, and 86 GiB a day: a record of 1 KB takes 7 µs, half of it SHA-256. */
const defaultBytesPerSecond = 1024 * 1024;
const defaultEveryMs = 24 * 3600 * 1000;

/** Begins at once. */
export function verifyInBackground(options: VerificationOptions): BackgroundVerification {
  const abort = new AbortController();
  const round = new Rounds(options, abort.signal);
  const running = round.run().catch((error: unknown) => {
    if (!abort.signal.aborted) throw error;
  });
  return {
    state: () => round.state(),
    stop: () => {
      abort.abort();
      return running;
    },
  };
}

class Rounds {
  readonly #options: VerificationOptions;
  readonly #signal: AbortSignal;
  /** By lane; of this round, or of the last one where this one has not been. */
  readonly #findings = new Map<number, AuditFinding>();
  #lane = 0;
  #progress: LaneProgress | undefined;
  #records = 0;
  #endedAtMs: number | undefined;

  constructor(options: VerificationOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  state(): VerificationState {
    const records = this.#records + (this.#progress?.records ?? 0);
    const counts = { damagedLanes: this.#findings.size, records, endedAtMs: this.#endedAtMs };
    if (this.#findings.size > 0) {
      return {
        ...counts,
        state: 'damaged',
        detail: `damaged: ${[...this.#findings.values()].map(describe).join('; ')}`,
      };
    }
    const state = this.#endedAtMs === undefined ? 'running' : 'sound';
    const last = this.#endedAtMs === undefined ? '' : `sound at ${new Date(this.#endedAtMs).toISOString()}`;
    return { ...counts, state, detail: [last, this.#doing()].filter((part) => part !== '').join('; ') };
  }

  async run(): Promise<void> {
    const { clock, timers, own, everyMs = defaultEveryMs } = this.#options;
    for (;;) {
      this.#records = 0;
      try {
        await this.#round();
      } catch (error) {
        this.#signal.throwIfAborted();
        this.#found(unreadable(own.lane, error));
      }
      this.#progress = undefined;
      this.#endedAtMs = clock.now();
      await timers.sleep(everyMs, this.#signal);
    }
  }

  async #round(): Promise<void> {
    const { directory, disk } = this.#options;
    const { lanes } = await findLanes(directory, disk);
    for (const lane of this.#findings.keys()) if (!lanes.includes(lane)) this.#findings.delete(lane);
    for (const lane of lanes) {
      this.#lane = lane;
      this.#progress = undefined;
      const finding = await this.#verify(lane);
      if (finding === undefined) this.#findings.delete(lane);
      else this.#found(finding);
    }
  }

  async #verify(lane: number): Promise<AuditFinding | undefined> {
    const { directory, disk, own, pieceBytes = defaultPieceBytes } = this.#options;
    try {
      const { damage, records } = await verifyLane({
        directory,
        lane,
        pieceBytes,
        atLeastSeq: lane === own.lane ? own.lastSeq() : 0,
        onPiece: (progress) => this.#pause(progress),
        ...(disk === undefined ? {} : { disk }),
      });
      this.#records += records;
      this.#progress = undefined;
      return damage && { lane, ...damage };
    } catch (error) {
      this.#signal.throwIfAborted();
      return unreadable(lane, error);
    }
  }

  async #pause(progress: LaneProgress): Promise<void> {
    this.#progress = progress;
    const ms = (progress.pieceBytes * 1000) / (this.#options.bytesPerSecond ?? defaultBytesPerSecond);
    await this.#options.timers.sleep(Math.max(1, ms), this.#signal);
  }

  #found(finding: AuditFinding): void {
    this.#findings.set(finding.lane, finding);
    this.#options.onDamage(finding);
  }

  #doing(): string {
    if (this.#progress === undefined) return this.#endedAtMs === undefined ? 'running' : `${this.#records} records`;
    const { file, bytes, totalBytes } = this.#progress;
    return `running: lane ${this.#lane}, ${bytes} of ${totalBytes} bytes, ${file}`;
  }
}

function unreadable(lane: number, error: unknown): AuditFinding {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  return { lane, file: undefined, line: 1, reason: `it cannot be read (${code})` };
}

/** `lane 0, 000000000001.jsonl line 7: …`. */
export function describe({ lane, file, line, reason }: AuditFinding): string {
  return file === undefined ? `lane ${lane}: ${reason}` : `lane ${lane}, ${file} line ${line}: ${reason}`;
}
