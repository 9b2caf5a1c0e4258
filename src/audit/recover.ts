// What a lane's start finds on the disk. Only a partial last line is cut, for it was never acknowledged; a whole record never is, and
// a chain that does not hold is an error for the operator.
import { basename } from 'node:path';
import type { Disk } from '../kernel/disk.js';
import { type ChainHead, genesis, lineHash, readLine } from './chain.js';
import { Intents } from './intents.js';
import { lastLine, listMarks, listSegments, longestTailBytes, markPath, readLines, type Segment } from './segment.js';

/** The log cannot be continued without hiding that something is missing or was changed. One line, no path but the file's name. */
export class AuditDamagedError extends Error {
  constructor(lane: number, what: string) {
    super(`The audit log of lane ${lane} is damaged: ${what}. Restore it from a copy, or move the lane's folder away.`);
    this.name = 'AuditDamagedError';
  }
}

/** Name of the mark a close leaves: its number is the last record's. */
export const closedMark = 'closed';

export interface Closed {
  readonly seq: number;
  /** No record up to this one is an intent without its event. */
  readonly settledSeq: number;
  /** SHA-256 of the last line, in hex. */
  readonly hash: string;
}

export interface Recovered {
  readonly head: ChainHead;
  /** The file to go on with; undefined: the next record begins one. */
  readonly segment: { readonly path: string; readonly size: number } | undefined;
  readonly settledSeq: number;
  readonly intents: Intents;
}

/** The text of a `closed` mark: 12 digits at most, a dot, 43 characters. */
export const closedText = (settledSeq: number, hash: string): string =>
  `${settledSeq}.${Buffer.from(hash, 'hex').toString('base64url')}`;

/** Undefined when the lane was never closed. */
export async function readClosed(disk: Disk, directory: string): Promise<Closed | undefined> {
  const seq = (await listMarks(disk, directory, closedMark)).at(-1);
  if (seq === undefined) return undefined;
  const [settled = '', hash = ''] = (await disk.readMark(markPath(directory, closedMark, seq))).split('.');
  return { seq, settledSeq: Number(settled), hash: Buffer.from(hash, 'base64url').toString('hex') };
}

/**
 * Verifies the last segment and those before it that may hold an unfinished intent: back to the last settled close, at most `scanBytes`.
 * Nothing is cut before everything was verified. Throws AuditDamagedError.
 */
export async function recoverLane(disk: Disk, directory: string, lane: number, scanBytes: number): Promise<Recovered> {
  const closed = await readClosed(disk, directory);
  const { segments, empty, torn } = await findTail(disk, await listSegments(disk, directory), lane);
  const scan = new Scan(disk, lane, closed);
  const last = segments.at(-1);
  if (last !== undefined) {
    const from = await scanStart(disk, segments, closed?.settledSeq ?? 0, scanBytes);
    await scan.begin(segments, from);
    for (const segment of segments.slice(from)) await scan.segment(segment, segment === last ? torn?.end : undefined);
  }
  if (closed !== undefined && closed.seq > scan.seq) {
    throw new AuditDamagedError(lane, `its last record is ${scan.seq}, but it was closed after record ${closed.seq}`);
  }
  if (torn !== undefined) await disk.truncate(torn.path, torn.end);
  for (const segment of empty) await disk.remove(segment.path);
  if (empty.length > 0) await disk.syncDirectory(directory);
  return {
    head: { seq: scan.seq, hash: scan.hash ?? genesis },
    segment: last && { path: last.path, size: await disk.size(last.path) },
    settledSeq: closed?.settledSeq ?? 0,
    intents: scan.intents,
  };
}

interface Tail {
  /** Those with a whole line at least. */
  readonly segments: readonly Segment[];
  /** What a crash left before the first line was whole. */
  readonly empty: readonly Segment[];
  /** The last segment when it ends within a line: its whole lines end at byte `end`. */
  readonly torn: { readonly path: string; readonly end: number } | undefined;
}

async function findTail(disk: Disk, segments: readonly Segment[], lane: number): Promise<Tail> {
  for (let count = segments.length; count > 0; count--) {
    const last = segments[count - 1];
    if (last === undefined) break;
    const size = await disk.size(last.path);
    const end = await wholeLines(disk, last, size);
    if (size - end > longestTailBytes)
      throw new AuditDamagedError(lane, `${basename(last.path)} does not end in lines`);
    if (end === 0) continue;
    const torn = end === size ? undefined : { path: last.path, end };
    return { segments: segments.slice(0, count), empty: segments.slice(count), torn };
  }
  return { segments: [], empty: segments, torn: undefined };
}

/** Bytes up to and with the last line feed. */
async function wholeLines(disk: Disk, segment: Segment, size: number): Promise<number> {
  const step = 256 * 1024;
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - step);
    const at = (await disk.read(segment.path, start, end - start)).lastIndexOf(10);
    if (at !== -1) return start + at + 1;
    end = start;
  }
  return 0;
}

async function scanStart(
  disk: Disk,
  segments: readonly Segment[],
  settledSeq: number,
  scanBytes: number,
): Promise<number> {
  let from = segments.length - 1;
  let bytes = 0;
  for (; from > 0 && (segments[from]?.firstSeq ?? 0) > settledSeq + 1; from--) {
    const before = segments[from - 1];
    bytes += before === undefined ? 0 : await disk.size(before.path);
    if (bytes > scanBytes) break;
  }
  return from;
}

class Scan {
  readonly intents = new Intents();
  seq = 0;
  /** Undefined: files before the first one were taken away, so its `prev` cannot be checked. */
  hash: string | undefined = genesis;
  readonly #disk: Disk;
  readonly #lane: number;
  readonly #closed: Closed | undefined;

  constructor(disk: Disk, lane: number, closed: Closed | undefined) {
    this.#disk = disk;
    this.#lane = lane;
    this.#closed = closed;
  }

  async begin(segments: readonly Segment[], from: number): Promise<void> {
    const [first, before] = [segments[from], segments[from - 1]];
    if (first === undefined || first.firstSeq === 1) return;
    this.seq = first.firstSeq - 1;
    this.hash = undefined;
    if (before === undefined) return;
    const line = await lastLine(this.#disk, before.path);
    if (line === undefined) throw new AuditDamagedError(this.#lane, `${basename(before.path)} ends within a line`);
    this.hash = lineHash(line);
  }

  async segment(segment: Segment, end: number | undefined): Promise<void> {
    const file = basename(segment.path);
    if (segment.firstSeq !== this.seq + 1) {
      throw new AuditDamagedError(this.#lane, `${file} should begin with record ${this.seq + 1}`);
    }
    let lineNumber = 0;
    for await (const lines of readLines(this.#disk, segment.path, end)) {
      for (const line of lines) {
        lineNumber += 1;
        const wrong = this.#line(line);
        if (wrong !== undefined) throw new AuditDamagedError(this.#lane, `${file} line ${lineNumber}: ${wrong}`);
      }
    }
  }

  #line(line: Buffer): string | undefined {
    const read = readLine(line, this.#lane, { seq: this.seq, hash: this.hash });
    if (typeof read === 'string') return read;
    this.seq += 1;
    this.hash = lineHash(line);
    if (this.seq === this.#closed?.seq && this.hash !== this.#closed.hash)
      return 'it changed since the lane was closed';
    if (this.seq <= (this.#closed?.settledSeq ?? 0)) return undefined;
    if (read.kind === 'event') this.intents.settle(read.record);
    else this.intents.add(read.record);
    return undefined;
  }
}

/** Leaves the mark of a close and takes those of earlier ones away. */
export async function markClosed(disk: Disk, directory: string, head: ChainHead, settledSeq: number): Promise<void> {
  const path = markPath(directory, closedMark, head.seq);
  const text = closedText(settledSeq, head.hash);
  if (!(await disk.mark(path, text)) && (await disk.readMark(path)) !== text) {
    await disk.remove(path);
    await disk.mark(path, text);
  }
  for (const seq of await listMarks(disk, directory, closedMark)) {
    if (seq < head.seq) await disk.remove(markPath(directory, closedMark, seq));
  }
  await disk.syncDirectory(directory);
}
