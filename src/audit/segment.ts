// A lane's files: `<first seq, 12 digits>.jsonl`, read in pieces of bounded size; and the marks `<name>-<12 digits>` beside them.
import { join } from 'node:path';
import type { Disk } from '../kernel/disk.js';

export interface Segment {
  readonly path: string;
  readonly firstSeq: number;
}

const digits = 12;
const segmentName = /^(\d{12})\.jsonl$/;
/** Holds the longest line. */
const pieceBytes = 256 * 1024;
/** More than one commit can hold, so a tail without a line feed that is longer was not left by a crash. */
export const longestTailBytes = 16 * 1024 * 1024;

export const laneDirectory = (directory: string, lane: number): string => join(directory, `lane-${lane}`);

export const segmentPath = (directory: string, firstSeq: number): string =>
  join(directory, `${numbered(firstSeq)}.jsonl`);

/** Ascending. */
export async function listSegments(disk: Disk, directory: string): Promise<Segment[]> {
  const names = await disk.list(directory);
  return names
    .filter((name) => segmentName.test(name))
    .sort()
    .map((name) => ({ path: join(directory, name), firstSeq: Number.parseInt(name, 10) }));
}

export const markPath = (directory: string, name: string, value: number): string =>
  join(directory, `${name}-${numbered(value)}`);

/** The values of the marks with this name, ascending. */
export async function listMarks(disk: Disk, directory: string, name: string): Promise<number[]> {
  const prefix = `${name}-`;
  const names = await disk.list(directory);
  return names
    .filter((entry) => entry.startsWith(prefix) && /^\d{12}$/.test(entry.slice(prefix.length)))
    .map((entry) => Number.parseInt(entry.slice(prefix.length), 10))
    .sort((a, b) => a - b);
}

/** The lines of a file up to byte `end`, in order, some at a time; each ends with its line feed, the last one perhaps not. */
export async function* readLines(disk: Disk, path: string, end = Infinity): AsyncGenerator<Buffer[]> {
  let rest: Buffer = Buffer.alloc(0);
  for (let offset = 0; ;) {
    const piece = await disk.read(path, offset, Math.min(pieceBytes, end - offset));
    if (piece.length === 0) break;
    offset += piece.length;
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const lines: Buffer[] = [];
    let start = 0;
    for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, start)) {
      lines.push(bytes.subarray(start, at + 1));
      start = at + 1;
    }
    rest = bytes.subarray(start);
    if (lines.length > 0) yield lines;
    if (rest.length > longestTailBytes) break;
  }
  if (rest.length > 0) yield [rest];
}

/** The last line of a file that ends with a line feed; undefined when it does not. */
export async function lastLine(disk: Disk, path: string): Promise<Buffer | undefined> {
  const size = await disk.size(path);
  const length = Math.min(size, pieceBytes);
  const bytes = await disk.read(path, size - length, length);
  if (bytes.at(-1) !== 10) return undefined;
  return bytes.subarray(bytes.lastIndexOf(10, bytes.length - 2) + 1);
}

function numbered(value: number): string {
  return String(value).padStart(digits, '0');
}
