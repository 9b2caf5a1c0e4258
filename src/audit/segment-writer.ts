// Appends bytes to the lane's files so that what it reported durable stays so. After any failure the descriptor is given up, and
// nothing is written before the file was cut back to its last durable byte.
import type { Disk, DiskFile } from '../kernel/disk.js';
import { segmentPath } from './segment.js';

interface OpenSegment {
  readonly file: DiskFile;
  readonly path: string;
  /** Durable bytes. */
  size: number;
}

export class SegmentWriter {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytes: number;
  #open: OpenSegment | undefined;
  #damaged: { readonly path: string; readonly size: number } | undefined;

  constructor(disk: Disk, directory: string, segmentBytes: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
  }

  /**
   * Goes on with a file that recovery found whole. Synced first: after a kill its last lines may be in the kernel's memory only, and
   * the chain is about to rest on them.
   */
  async resume(path: string, size: number): Promise<void> {
    const file = await this.#disk.openAppend(path);
    try {
      await file.datasync();
    } catch (error) {
      await file.close();
      throw error;
    }
    this.#open = { file, path, size };
  }

  /**
   * Resolves when bytes[0, length) are durable. The first byte belongs to record `firstSeq`, which names the file if one begins here.
   * When it rejects, `repair` must succeed before the next append.
   */
  async append(bytes: Buffer, length: number, firstSeq: number): Promise<void> {
    if (this.#damaged !== undefined) throw new Error('the segment was not repaired');
    let segment = this.#open;
    if (segment === undefined || (segment.size > 0 && segment.size + length > this.#segmentBytes)) {
      segment = await this.#begin(firstSeq);
    }
    try {
      for (let written = 0; written < length;) {
        const taken = await segment.file.write(bytes, written, length - written);
        if (taken === 0) throw new Error('the disk takes no bytes');
        written += taken;
      }
      await segment.file.datasync();
    } catch (error) {
      this.#giveUp(segment);
      throw error;
    }
    segment.size += length;
  }

  /** Cuts away what is not durable. May be called again when it failed. */
  async repair(): Promise<void> {
    const damaged = this.#damaged;
    if (damaged === undefined) return;
    if (damaged.size > 0) {
      await this.#disk.truncate(damaged.path, damaged.size);
    } else {
      await this.#disk.remove(damaged.path);
      await this.#disk.syncDirectory(this.#directory);
    }
    this.#damaged = undefined;
  }

  async close(): Promise<void> {
    const segment = this.#open;
    this.#open = undefined;
    await segment?.file.close();
  }

  async #begin(firstSeq: number): Promise<OpenSegment> {
    const before = this.#open;
    this.#open = undefined;
    // All of it was synced: an error here loses nothing.
    before?.file.close().catch(ignore);
    const path = segmentPath(this.#directory, firstSeq);
    const segment = { file: await this.#disk.create(path), path, size: 0 };
    try {
      await this.#disk.syncDirectory(this.#directory);
    } catch (error) {
      this.#giveUp(segment);
      throw error;
    }
    this.#open = segment;
    return segment;
  }

  #giveUp(segment: OpenSegment): void {
    this.#open = undefined;
    this.#damaged = { path: segment.path, size: segment.size };
    segment.file.close().catch(ignore);
  }
}

function ignore(): void {
  // Nothing depends on it.
}
