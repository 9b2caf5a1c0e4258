// When the log was last written, by its own records: evidence of what time it has been already.
import { type Disk, hasCode, systemDisk } from '../kernel/disk.js';
import { laneDirectory, longestLineBytes, segmentPath, segmentsAmong } from './segment.js';
import { findLanes } from './verify.js';

/** The time of the newest last record of all lanes of `directory`, in ms; undefined when there is none. Throws the disk's errors. */
export async function newestRecordMs(directory: string, disk: Disk = systemDisk): Promise<number | undefined> {
  let lanes: readonly number[];
  try {
    ({ lanes } = await findLanes(directory, disk));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  const times = await Promise.all(lanes.map((lane) => newestOfLane(laneDirectory(directory, lane), disk)));
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

async function newestOfLane(directory: string, disk: Disk): Promise<number | undefined> {
  for (const firstSeq of segmentsAmong(await namesIn(directory, disk)).reverse()) {
    const path = segmentPath(directory, firstSeq);
    const size = await disk.size(path);
    if (size === undefined) continue;
    const length = Math.min(size, 2 * longestLineBytes);
    const time = timeOf(await disk.read(path, size - length, length));
    if (time !== undefined) return time;
  }
  return undefined;
}

/** What has a lane's name and is no folder has no records; the verification of the log tells of it. */
async function namesIn(directory: string, disk: Disk): Promise<readonly string[]> {
  try {
    return await disk.list(directory);
  } catch (error) {
    if (hasCode(error, 'ENOTDIR') || hasCode(error, 'ELOOP')) return [];
    throw error;
  }
}

/** Of the last whole line. A crash may have left a part of one behind it; damage is for the lane's own start to find. */
function timeOf(bytes: Buffer): number | undefined {
  const end = bytes.lastIndexOf(10);
  if (end < 1) return undefined;
  try {
    const line = JSON.parse(bytes.toString('utf8', bytes.lastIndexOf(10, end - 1) + 1, end)) as {
      readonly record?: { readonly eventTime?: string };
    };
    const time = Date.parse(line.record?.eventTime ?? '');
    return Number.isNaN(time) ? undefined : time;
  } catch {
    return undefined;
  }
}
