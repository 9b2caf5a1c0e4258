// The mark a close leaves: which record was the lane's last, its hash, and up to where no intent was open. It shows that the end of the log
// was cut or changed since.
import { basename } from 'node:path';
import { type Disk, hasCode } from '../kernel/disk.js';
import { ChainError, type ChainHead } from './chain.js';
import { listMarks, markPath } from './segment.js';

/** Name of the mark; its number is the last record's. */
export const closedMark = 'closed';

export interface Closed {
  readonly seq: number;
  /** No record up to this one is an intent without its event. */
  readonly settledSeq: number;
  /** SHA-256 of the last line, in hex. */
  readonly hash: string;
}

const closedForm = /^(\d{1,12})\.([A-Za-z0-9_-]{43})$/;

/** Undefined when the lane was never closed. Throws ChainError when the mark says nothing. */
export async function readClosed(disk: Disk, directory: string): Promise<Closed | undefined> {
  for (;;) {
    const seq = (await listMarks(disk, directory, closedMark)).at(-1);
    if (seq === undefined) return undefined;
    const path = markPath(directory, closedMark, seq);
    try {
      const [, settled, hash] = closedForm.exec(await disk.readMark(path)) ?? [];
      if (settled === undefined || hash === undefined) throw noMark(path);
      return { seq, settledSeq: Number(settled), hash: Buffer.from(hash, 'base64url').toString('hex') };
    } catch (error) {
      if (hasCode(error, 'EINVAL')) throw noMark(path);
      // A later close has just taken it away.
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }
}

const noMark = (path: string): ChainError => new ChainError(basename(path), 1, 'it is not the mark of a close');

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

/** The text of the mark: 12 digits at most, a dot, 43 characters. */
const closedText = (settledSeq: number, hash: string): string =>
  `${settledSeq}.${Buffer.from(hash, 'hex').toString('base64url')}`;
