// What a lane's start finds on the disk. Only a partial last line is cut, for it was never acknowledged; a whole record never is, and
// a chain that does not hold is an error for the operator.
import type { Disk } from '../kernel/disk.js';
import { ChainError, type ChainHead, genesis, lineHash } from './chain.js';
import { readClosed } from './closed.js';
import { Intents } from './intents.js';
import { lastLine, longestTailBytes, segmentName, segmentPath, segmentsAmong } from './segment.js';
import { notAFile, walkLane, type WalkedSegment } from './walk.js';

/** The log cannot be continued without hiding that something is missing or was changed. One line, no path but the file's name. */
export class AuditDamagedError extends Error {
  constructor(lane: number, what: string) {
    super(`The audit log of lane ${lane} is damaged: ${what}. Restore it from a copy, or move the lane's folder away.`);
    this.name = 'AuditDamagedError';
  }
}

export interface Recovered {
  readonly head: ChainHead;
  /** The file to go on with; undefined: the next record begins one. */
  readonly segment: { readonly path: string; readonly size: number } | undefined;
  readonly settledSeq: number;
  readonly intents: Intents;
}

/**
 * Verifies the last segment and those before it that may hold an unfinished intent: back to the last settled close, at most `scanBytes`.
 * Nothing is cut before everything was verified. Throws AuditDamagedError.
 */
export async function recoverLane(disk: Disk, directory: string, lane: number, scanBytes: number): Promise<Recovered> {
  try {
    return await recover(disk, directory, lane, scanBytes);
  } catch (error) {
    if (error instanceof ChainError) throw new AuditDamagedError(lane, error.message);
    throw error;
  }
}

async function recover(disk: Disk, directory: string, lane: number, scanBytes: number): Promise<Recovered> {
  const closed = await readClosed(disk, directory);
  const settledSeq = closed?.settledSeq ?? 0;
  const { whole, end, empty, torn } = await findTail(disk, directory, segmentsAmong(await disk.list(directory)));
  const segments = await scanned(disk, directory, whole, end, { settledSeq, scanBytes });
  const from = await startOf(disk, directory, segments[0]?.firstSeq, whole.at(-segments.length - 1));
  const intents = new Intents();
  let head = from;
  for await (const verified of walkLane({ disk, directory, lane, segments, from, closed })) {
    verified.records.forEach((record, index) => {
      if (verified.head.seq - verified.records.length + index >= settledSeq) intents.note(record);
    });
    ({ head } = verified);
  }
  if (torn !== undefined) await disk.truncate(torn.path, torn.end);
  for (const firstSeq of empty) await disk.remove(segmentPath(directory, firstSeq));
  if (empty.length > 0) await disk.syncDirectory(directory);
  const last = whole.at(-1);
  return {
    head: { seq: head.seq, hash: head.hash ?? genesis },
    segment: last === undefined ? undefined : { path: segmentPath(directory, last), size: end },
    settledSeq,
    intents,
  };
}

interface Tail {
  /** Those with a whole line at least. */
  readonly whole: readonly number[];
  /** Where the whole lines of the last of them end. */
  readonly end: number;
  /** What a crash left before the first line was whole. */
  readonly empty: readonly number[];
  /** The last segment when it ends within a line. */
  readonly torn: { readonly path: string; readonly end: number } | undefined;
}

async function findTail(disk: Disk, directory: string, segments: readonly number[]): Promise<Tail> {
  for (let count = segments.length; count > 0; count--) {
    const last = segments[count - 1];
    if (last === undefined) break;
    const path = segmentPath(directory, last);
    const size = await sizeOf(disk, directory, last);
    const end = await wholeLines(disk, path, size);
    if (size - end > longestTailBytes) throw new ChainError(segmentName(last), 1, 'it does not end in lines');
    if (end === 0) continue;
    const torn = end === size ? undefined : { path, end };
    return { whole: segments.slice(0, count), end, empty: segments.slice(count), torn };
  }
  return { whole: [], end: 0, empty: segments, torn: undefined };
}

async function sizeOf(disk: Disk, directory: string, segment: number): Promise<number> {
  const size = await disk.size(segmentPath(directory, segment));
  if (size === undefined) throw new ChainError(segmentName(segment), 1, notAFile);
  return size;
}

/** Bytes up to and with the last line feed. */
async function wholeLines(disk: Disk, path: string, size: number): Promise<number> {
  const step = 256 * 1024;
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - step);
    const at = (await disk.read(path, start, end - start)).lastIndexOf(10);
    if (at !== -1) return start + at + 1;
    end = start;
  }
  return 0;
}

/** The segments to read, of which the last has `end` bytes. */
async function scanned(
  disk: Disk,
  directory: string,
  segments: readonly number[],
  end: number,
  limits: { readonly settledSeq: number; readonly scanBytes: number },
): Promise<readonly WalkedSegment[]> {
  const found: WalkedSegment[] = [];
  let bytes = 0;
  for (const firstSeq of segments.toReversed()) {
    const next = found[0];
    if (next !== undefined && next.firstSeq <= limits.settledSeq + 1) break;
    const size = next === undefined ? end : await sizeOf(disk, directory, firstSeq);
    if (next !== undefined) bytes += size;
    if (bytes > limits.scanBytes) break;
    found.unshift({ firstSeq, end: size });
  }
  return found;
}

/** The record before `first`, which the last line of the segment before it is; its hash is undefined when that was taken away. */
async function startOf(
  disk: Disk,
  directory: string,
  first: number | undefined,
  before: number | undefined,
): Promise<{ readonly seq: number; readonly hash: string | undefined }> {
  if (first === undefined || first === 1) return { seq: 0, hash: genesis };
  const seq = first - 1;
  if (before === undefined) return { seq, hash: undefined };
  const line = await lastLine(disk, segmentPath(directory, before));
  if (line === undefined) throw new ChainError(segmentName(before), 1, 'it ends within a line');
  return { seq, hash: lineHash(line) };
}
