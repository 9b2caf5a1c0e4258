// Reads a whole lane and says where its chain first breaks. Memory is bounded by a piece of a file; nothing on the disk is changed.
import { basename } from 'node:path';
import { type Disk, systemDisk } from '../kernel/disk.js';
import { genesis, lineHash, readLine } from './chain.js';
import { readClosed } from './recover.js';
import { laneDirectory, listSegments, readLines } from './segment.js';

export interface BadLine {
  /** The file's name. */
  readonly file: string;
  /** 1 is the first; one more than the file has: something is missing after its end. */
  readonly line: number;
  readonly reason: string;
}

export interface LaneVerdict {
  /** Records that hold, from the first file on. */
  readonly records: number;
  readonly firstBad?: BadLine;
}

/**
 * Verifies every line of a lane: shape, JSON, numbering, `prev`, the files' names, and the hash of the last line that its last close left
 * behind. A lane whose first file was taken away is verified from the file that is first now. A lane that is being written may show a
 * partial last line. Fails with ENOENT when there is no such lane.
 */
export async function verifyLane(directory: string, lane: number, disk: Disk = systemDisk): Promise<LaneVerdict> {
  const laneFolder = laneDirectory(directory, lane);
  const closed = await readClosed(disk, laneFolder);
  const segments = await listSegments(disk, laneFolder);
  const firstSeq = segments[0]?.firstSeq ?? 1;
  const head = { seq: firstSeq - 1, hash: firstSeq === 1 ? genesis : undefined };
  let [file, line] = ['', 0];
  const verdict = (reason: string): LaneVerdict => ({
    records: head.seq - firstSeq + 1,
    firstBad: { file, line, reason },
  });
  for (const segment of segments) {
    [file, line] = [basename(segment.path), 1];
    if (segment.firstSeq !== head.seq + 1) return verdict(`the file's name is not ${head.seq + 1}`);
    line = 0;
    for await (const lines of readLines(disk, segment.path)) {
      for (const bytes of lines) {
        line += 1;
        const wrong = checkLine(bytes, lane, head);
        if (wrong !== undefined) return verdict(wrong);
        Object.assign(head, { seq: head.seq + 1, hash: lineHash(bytes) });
        if (closed?.seq === head.seq && closed.hash !== head.hash)
          return verdict('it changed since the lane was closed');
      }
    }
  }
  line += 1;
  if (closed !== undefined && closed.seq > head.seq) return verdict(`records up to ${closed.seq} are missing`);
  return { records: head.seq - firstSeq + 1 };
}

function checkLine(
  bytes: Buffer,
  lane: number,
  head: { readonly seq: number; readonly hash: string | undefined },
): string | undefined {
  const read = readLine(bytes, lane, head);
  if (typeof read === 'string') return read;
  try {
    JSON.parse(read.record);
    return undefined;
  } catch {
    return 'its record is not JSON';
  }
}
