// A lane's files: `<first seq, 12 digits>.jsonl`, read in pieces of bounded size; and the marks `<name>-<12 digits>` beside them. A file
// is known by the number of its first record: a lane may have many.
import { join } from 'node:path';
import type { Disk } from '../kernel/disk.js';
import { mostRecordBytes } from '../model/audit-record.js';
import { longestHeadBytes } from './chain.js';

const digits = 12;
const segmentEnding = '.jsonl';
/** A record between its line's head, two braces and a line feed. */
export const longestLineBytes = longestHeadBytes + mostRecordBytes + 3;
/** More than one commit can hold, so a tail without a line feed that is longer was not left by a crash. */
export const longestTailBytes = 16 * 1024 * 1024;
const defaultPieceBytes = 256 * 1024;

export const laneDirectory = (directory: string, lane: number): string => join(directory, `lane-${lane}`);

export const segmentName = (firstSeq: number): string => numbered(firstSeq) + segmentEnding;

export const segmentPath = (directory: string, firstSeq: number): string => join(directory, segmentName(firstSeq));

/** The numbers of the segments among the names of a lane's folder, ascending. */
export const segmentsAmong = (names: readonly string[]): number[] => numbersAmong(names, '', segmentEnding);

export const markPath = (directory: string, name: string, value: number): string =>
  join(directory, `${name}-${numbered(value)}`);

/** The values of the marks with this name, ascending. */
export const marksAmong = (names: readonly string[], name: string): number[] => numbersAmong(names, `${name}-`, '');

export const listMarks = async (disk: Disk, directory: string, name: string): Promise<number[]> =>
  marksAmong(await disk.list(directory), name);

export interface Piece {
  /** Whole lines, each with its line feed; but of a line longer than any can be only its beginning. */
  readonly lines: readonly Buffer[];
  /** Where they end in the file. */
  readonly end: number;
  /** Bytes after them without a line feed, looked at up to `longestTailBytes`; other than 0 in the last piece only. */
  readonly tailBytes: number;
}

/**
 * The lines of a file up to byte `end`, in order, a piece at a time. Each piece begins with a line and is read anew, so nothing is kept
 * from one to the next, and a tail that was cut and written again meanwhile is not mixed with what follows it.
 */
export async function* readLines(
  disk: Disk,
  path: string,
  end: number,
  pieceBytes = defaultPieceBytes,
): AsyncGenerator<Piece> {
  for (let offset = 0; offset < end;) {
    let bytes = await disk.read(path, offset, Math.min(pieceBytes, end - offset));
    if (!bytes.includes(10) && bytes.length === pieceBytes && pieceBytes <= longestLineBytes) {
      bytes = await disk.read(path, offset, Math.min(longestLineBytes + 1, end - offset));
    }
    const lines: Buffer[] = [];
    let start = 0;
    for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, start)) {
      lines.push(bytes.subarray(start, at + 1));
      start = at + 1;
    }
    if (start > 0) {
      yield { lines, end: offset + start, tailBytes: 0 };
      offset += start;
      continue;
    }
    if (bytes.length > 0) yield await endless(disk, path, offset, end, bytes.subarray(0, longestLineBytes + 1));
    return;
  }
}

/** What begins at `offset` has no line feed within a line's length: a tail, or a line that is too long. */
async function endless(disk: Disk, path: string, offset: number, end: number, beginning: Buffer): Promise<Piece> {
  let tailBytes = beginning.length;
  while (tailBytes <= longestTailBytes) {
    const more = await disk.read(path, offset + tailBytes, Math.min(defaultPieceBytes, end - offset - tailBytes));
    if (more.length === 0) return { lines: [], end: offset, tailBytes };
    if (more.includes(10)) return { lines: [beginning], end: offset, tailBytes: 0 };
    tailBytes += more.length;
  }
  return { lines: [], end: offset, tailBytes };
}

/** The last line of a file that ends with a line feed; undefined when it does not. */
export async function lastLine(disk: Disk, path: string): Promise<Buffer | undefined> {
  const size = (await disk.size(path)) ?? 0;
  const length = Math.min(size, longestLineBytes + 1);
  const bytes = await disk.read(path, size - length, length);
  if (bytes.at(-1) !== 10) return undefined;
  return bytes.subarray(bytes.lastIndexOf(10, bytes.length - 2) + 1);
}

function numbersAmong(names: readonly string[], prefix: string, ending: string): number[] {
  const length = prefix.length + digits + ending.length;
  return names
    .filter((name) => name.length === length && name.startsWith(prefix) && name.endsWith(ending))
    .map((name) => name.slice(prefix.length, prefix.length + digits))
    .filter((number) => /^\d{12}$/.test(number))
    .map(Number)
    .sort((a, b) => a - b);
}

function numbered(value: number): string {
  return String(value).padStart(digits, '0');
}
