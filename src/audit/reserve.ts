// A file that holds room on the disk for the lane's last word: deleted when the disk is full, made again before the lane goes on.
import { join } from 'node:path';
import { type Disk, hasCode } from '../kernel/disk.js';
import type { Random } from '../kernel/random.js';

export const reserveName = 'reserve';
export const reserveBytes = 256 * 1024;

/**
 * Fails, and leaves nothing, unless the disk holds `headroomBytes` more than the reserve (0 when it is there already). The bytes are
 * random because a file system that compresses would give none back for zeros.
 */
export async function makeReserve(disk: Disk, random: Random, directory: string, headroomBytes: number): Promise<void> {
  const path = reservePath(directory);
  if ((await sizeOf(disk, path)) === reserveBytes) return;
  await disk.remove(path);
  const bytes = random.bytes(reserveBytes + headroomBytes);
  try {
    const file = await disk.create(path);
    try {
      for (let written = 0; written < bytes.length;) {
        const taken = await file.write(bytes, written, bytes.length - written);
        if (taken === 0) throw new Error('the disk takes no bytes');
        written += taken;
      }
      await file.datasync();
    } finally {
      await file.close();
    }
    if (headroomBytes > 0) await disk.truncate(path, reserveBytes);
    await disk.syncDirectory(directory);
  } catch (error) {
    await releaseReserve(disk, directory);
    throw error;
  }
}

export const releaseReserve = (disk: Disk, directory: string): Promise<void> => disk.remove(reservePath(directory));

const reservePath = (directory: string): string => join(directory, reserveName);

async function sizeOf(disk: Disk, path: string): Promise<number | undefined> {
  try {
    return await disk.size(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
