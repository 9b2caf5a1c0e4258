// The one walk along a lane's chain, for recovery and for verification: each line follows the one before, each file goes on where the one
// before ended, and the last close is where it was. It changes nothing on the disk; its memory is bounded by a piece of a file.
import { type Disk, hasCode } from '../kernel/disk.js';
import { ChainError, type ChainRecord, lineHash, readLine } from './chain.js';
import type { Closed } from './closed.js';
import { longestLineBytes, longestTailBytes, readLines, segmentName, segmentPath } from './segment.js';

/** A file to read, up to byte `end`. */
export interface WalkedSegment {
  readonly firstSeq: number;
  readonly end: number;
}

export interface WalkOptions {
  readonly disk: Disk;
  /** The lane's own. */
  readonly directory: string;
  readonly lane: number;
  readonly segments: readonly WalkedSegment[];
  /** The record before the first one; `hash` undefined takes any `prev`: files before were taken away. */
  readonly from: { readonly seq: number; readonly hash: string | undefined };
  readonly closed: Closed | undefined;
  /** Looks at each record; what it returns is wrong with it. */
  readonly check?: ((record: Buffer) => string | undefined) | undefined;
  /** Records up to this one are known to be there. */
  readonly atLeastSeq?: number;
  readonly pieceBytes?: number;
}

/** One piece of a file, all of whose lines hold. */
export interface Verified {
  readonly firstSeq: number;
  readonly records: readonly ChainRecord[];
  /** The last record read; `hash` is undefined before the first when `from` has none. */
  readonly head: { readonly seq: number; readonly hash: string | undefined };
  /** Bytes of the file so far, the tail included. */
  readonly bytes: number;
  /** Bytes after the last line feed of the last file. */
  readonly tailBytes: number;
}

/** Throws ChainError at the first line that does not hold, after all lines before it were handed out. */
export async function* walkLane(options: WalkOptions): AsyncGenerator<Verified> {
  const { disk, directory, segments, from, closed, pieceBytes } = options;
  const state: Walked = { seq: from.seq, hash: from.hash, line: 1 };
  let file: string | undefined;
  for (const { firstSeq, end } of segments) {
    file = segmentName(firstSeq);
    state.line = 1;
    if (firstSeq !== state.seq + 1) throw new ChainError(file, 1, misplaced(firstSeq, state.seq + 1));
    try {
      for await (const piece of readLines(disk, segmentPath(directory, firstSeq), end, pieceBytes)) {
        const { records, wrong } = follow(piece.lines, options, state);
        const { seq, hash } = state;
        const { tailBytes } = piece;
        yield { firstSeq, records, head: { seq, hash }, bytes: piece.end + tailBytes, tailBytes };
        if (wrong !== undefined) throw new ChainError(file, state.line, wrong);
        if (tailBytes > 0) checkTail(file, state.line, tailBytes, firstSeq === segments.at(-1)?.firstSeq);
      }
    } catch (error) {
      if (hasCode(error, 'ENOENT')) throw new ChainError(file, 1, fileGone);
      if (['ELOOP', 'ESPIPE', 'EISDIR'].some((code) => hasCode(error, code))) throw new ChainError(file, 1, notAFile);
      throw error;
    }
  }
  const due = Math.max(closed?.seq ?? 0, options.atLeastSeq ?? 0);
  // Files of which none has a line prove nothing of a close before them.
  const noneHolds = state.hash === undefined && closed !== undefined;
  if (due > state.seq || noneHolds) throw new ChainError(file, state.line, `records up to ${due} are missing`);
}

export const notAFile = 'it is a link or no regular file';
export const fileGone = 'the file is gone';

interface Walked {
  seq: number;
  hash: string | undefined;
  /** The next one in its file. */
  line: number;
}

/** Moves `state` past the lines that hold; `wrong` says why one does not. */
function follow(
  lines: readonly Buffer[],
  { lane, closed, check }: WalkOptions,
  state: Walked,
): { readonly records: readonly ChainRecord[]; readonly wrong?: string } {
  const records: ChainRecord[] = [];
  for (const line of lines) {
    if (line.length > longestLineBytes) return { records, wrong: 'longer than any line of an audit log' };
    const read = readLine(line, lane, state);
    if (typeof read === 'string') return { records, wrong: read };
    const hash = lineHash(line);
    if (closed?.seq === state.seq + 1 && closed.hash !== hash) {
      return { records, wrong: 'it changed since the lane was closed' };
    }
    const wrong = check?.(read.record);
    if (wrong !== undefined) return { records, wrong };
    records.push(read);
    state.seq += 1;
    state.hash = hash;
    state.line += 1;
  }
  return { records };
}

function misplaced(firstSeq: number, due: number): string {
  if (firstSeq < due) return `it should begin with record ${due}: is it a copy?`;
  return firstSeq === due + 1
    ? `record ${due} is missing before it`
    : `records ${due} to ${firstSeq - 1} are missing before it`;
}

function checkTail(file: string, line: number, bytes: number, isLast: boolean): void {
  if (bytes > longestTailBytes) throw new ChainError(file, line, 'it does not end in lines');
  if (!isLast) throw new ChainError(file, line, 'it ends within a line');
}
