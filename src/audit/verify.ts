// Verifies lanes from their first file to their last, beside a daemon that writes them or without one. It reads only, takes no lock and
// follows no link; what is in its memory is bounded whatever the files hold.
import { isUtf8 } from 'node:buffer';
import { type Disk, hasCode, systemDisk } from '../kernel/disk.js';
import { type BadLine, ChainError, genesis } from './chain.js';
import { closedMark, readClosed } from './closed.js';
import { Intents } from './intents.js';
import { lockMark } from './lock.js';
import { reserveName } from './reserve.js';
import { laneDirectory, marksAmong, segmentName, segmentPath, segmentsAmong } from './segment.js';
import { fileGone, notAFile, type Verified, walkLane, type WalkedSegment } from './walk.js';

export interface VerifyOptions {
  /** Holds the lanes. */
  readonly directory: string;
  readonly lane: number;
  readonly disk?: Disk;
  /** Parse each record too: the chain alone says whether it changed since it was written. */
  readonly parse?: boolean;
  /** Records up to this one are known to be there. */
  readonly atLeastSeq?: number;
  readonly pieceBytes?: number;
  /** Awaited after each piece; what it throws ends the verification. */
  readonly onPiece?: (progress: LaneProgress) => Promise<void> | void;
}

export interface LaneProgress {
  readonly file: string;
  /** Read just now, read so far, and to be read in all. */
  readonly pieceBytes: number;
  readonly bytes: number;
  readonly totalBytes: number;
  /** Records that hold, so far. */
  readonly records: number;
}

/** What was found in a lane, up to its first bad line. */
export interface LaneVerdict {
  readonly lane: number;
  readonly files: number;
  readonly bytes: number;
  readonly records: number;
  /** The first record there is: above 1 when older files were taken away. */
  readonly firstSeq: number | undefined;
  /** The last record that holds. */
  readonly head: { readonly seq: number; readonly hash: string } | undefined;
  /** `eventTime` of the first and the last record; with `parse` only. */
  readonly firstTime: string | undefined;
  readonly lastTime: string | undefined;
  /** Intents without an event, at most 4096: calls under way, or interrupted by a crash. */
  readonly openIntents: number;
  /** Bytes after the last line feed: being written, or left by a crash. */
  readonly unfinishedBytes: number;
  /** Nothing at all is in the lane's folder. A daemon puts its lock's mark there right after it made the folder. */
  readonly isEmpty: boolean;
  /** Names in the lane's folder that are none of a lane's. */
  readonly strays: readonly string[];
  readonly damage: BadLine | undefined;
}

const mostAttempts = 10;

/**
 * Verifies every line of a lane: shape, numbering, `prev`, the files' names, and the hash of the last line that its last close left behind;
 * with `parse` each record's JSON. A lane whose first files were taken away is verified from the file that is first now. Reads up to where
 * the files ended when it began. Fails with the disk's error when it cannot look.
 */
export async function verifyLane(options: VerifyOptions): Promise<LaneVerdict> {
  const { lane, directory, disk = systemDisk } = options;
  const folder = laneDirectory(directory, lane);
  for (let attempt = 1; ; attempt++) {
    const count = new Count(lane);
    try {
      if (await isLink(disk, folder)) throw new ChainError(undefined, 1, 'a link stands in the place of its folder');
      await verify(options, disk, folder, count);
      return count.verdict(undefined);
    } catch (error) {
      if (!(error instanceof ChainError)) throw error;
      const again = error.bad.reason === fileGone && (await wasTakenAway(disk, folder, error.bad.file, count));
      if (!again || attempt === mostAttempts) return count.verdict(error.bad);
    }
  }
}

/** The lanes in the folder, ascending, and the names that are none. */
export async function findLanes(
  directory: string,
  disk: Disk = systemDisk,
): Promise<{ readonly lanes: readonly number[]; readonly strays: readonly string[] }> {
  if (await isLink(disk, directory)) throw Object.assign(new Error('it is a link'), { code: 'ELOOP' });
  const names = await disk.list(directory);
  const isLane = (name: string): boolean => /^lane-(0|[1-9]\d{0,3})$/.test(name);
  const lanes = names.filter(isLane).map((name) => Number(name.slice('lane-'.length)));
  return { lanes: lanes.sort((a, b) => a - b), strays: names.filter((name) => !isLane(name)) };
}

async function verify(options: VerifyOptions, disk: Disk, directory: string, count: Count): Promise<void> {
  const { lane, atLeastSeq = 0, parse = false, pieceBytes, onPiece } = options;
  // Before the files: what was closed then is in them.
  const closed = await readClosed(disk, directory);
  const names = await disk.list(directory);
  count.isEmpty = names.length === 0;
  count.strays = straysAmong(names);
  const segments = await measure(disk, directory, segmentsAmong(names));
  count.begin(segments);
  const firstSeq = segments[0]?.firstSeq ?? 1;
  const from = { seq: firstSeq - 1, hash: firstSeq === 1 ? genesis : undefined };
  const walk = walkLane({
    disk,
    directory,
    lane,
    segments,
    from,
    closed,
    atLeastSeq,
    check: parse ? (record) => count.parse(record) : undefined,
    ...(pieceBytes === undefined ? {} : { pieceBytes }),
  });
  for await (const verified of walk) {
    const progress = count.add(verified);
    await onPiece?.(progress);
  }
}

/** As long as the files are now. Of the last one only: it may have been given up before its first line was whole. */
async function measure(disk: Disk, directory: string, firstSeqs: readonly number[]): Promise<WalkedSegment[]> {
  const segments: WalkedSegment[] = [];
  for (const firstSeq of firstSeqs) {
    try {
      const end = await disk.size(segmentPath(directory, firstSeq));
      if (end === undefined) throw new ChainError(segmentName(firstSeq), 1, notAFile);
      segments.push({ firstSeq, end });
    } catch (error) {
      if (hasCode(error, 'ENOENT')) throw new ChainError(segmentName(firstSeq), 1, fileGone);
      throw error;
    }
  }
  return segments;
}

/** Whether a file that is gone was the first there was (moved to an archive) or the last one (given up unwritten): no damage then. */
async function wasTakenAway(disk: Disk, directory: string, file: string | undefined, count: Count): Promise<boolean> {
  const left = segmentsAmong(await disk.list(directory)).map(segmentName);
  if (file === undefined || left.length === 0 || left.includes(file)) return false;
  return left.every((name) => name > file) || file === count.lastFile;
}

class Count {
  isEmpty = false;
  strays: readonly string[] = [];
  lastFile: string | undefined;
  readonly #lane: number;
  readonly #intents = new Intents(false);
  #segments: readonly WalkedSegment[] = [];
  #at = 0;
  #bytesBefore = 0;
  #totalBytes = 0;
  #read = 0;
  #records = 0;
  #firstSeq: number | undefined;
  #head: { seq: number; hash: string } | undefined;
  #firstTime: string | undefined;
  #lastTime: string | undefined;
  #unfinishedBytes = 0;

  constructor(lane: number) {
    this.#lane = lane;
  }

  begin(segments: readonly WalkedSegment[]): void {
    this.#segments = segments;
    this.#firstSeq = segments[0]?.firstSeq;
    this.#totalBytes = segments.reduce((sum, { end }) => sum + end, 0);
    const last = segments.at(-1);
    this.lastFile = last && segmentName(last.firstSeq);
  }

  add(verified: Verified): LaneProgress {
    const { firstSeq, head, records, bytes, tailBytes } = verified;
    for (; this.#segments[this.#at] && this.#segments[this.#at]?.firstSeq !== firstSeq; this.#at++) {
      this.#bytesBefore += this.#segments[this.#at]?.end ?? 0;
    }
    for (const record of records) this.#intents.note(record);
    this.#records += records.length;
    if (head.hash !== undefined) this.#head = { seq: head.seq, hash: head.hash };
    this.#unfinishedBytes = tailBytes;
    const before = this.#read;
    this.#read = this.#bytesBefore + bytes;
    const pieceBytes = this.#read - before;
    return {
      file: segmentName(firstSeq),
      pieceBytes,
      bytes: this.#read,
      totalBytes: this.#totalBytes,
      records: this.#records,
    };
  }

  verdict(damage: BadLine | undefined): LaneVerdict {
    return {
      lane: this.#lane,
      files: this.#segments.length,
      bytes: this.#totalBytes,
      records: this.#records,
      firstSeq: this.#firstSeq,
      head: this.#head,
      firstTime: this.#firstTime,
      lastTime: this.#lastTime,
      openIntents: this.#intents.size,
      unfinishedBytes: this.#unfinishedBytes,
      isEmpty: this.isEmpty,
      strays: this.strays,
      damage,
    };
  }

  /** What is wrong with a record. */
  parse(record: Buffer): string | undefined {
    const time = isUtf8(record) ? eventTime(record.toString()) : undefined;
    if (time === undefined) return 'its record is not JSON';
    if (time !== '') this.#lastTime = time;
    this.#firstTime ??= this.#lastTime;
    return undefined;
  }
}

/** Empty when the record has none; undefined when it is not JSON. */
function eventTime(record: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(record);
    const time = typeof parsed === 'object' && parsed !== null && 'eventTime' in parsed ? parsed.eventTime : undefined;
    return typeof time === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(time) ? time : '';
  } catch {
    return undefined;
  }
}

function straysAmong(names: readonly string[]): string[] {
  return names.filter(
    (name) =>
      name !== reserveName &&
      segmentsAmong([name]).length === 0 &&
      marksAmong([name], closedMark).length === 0 &&
      marksAmong([name], lockMark).length === 0,
  );
}

async function isLink(disk: Disk, path: string): Promise<boolean> {
  try {
    await disk.readMark(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'EINVAL')) return false;
    throw error;
  }
}
