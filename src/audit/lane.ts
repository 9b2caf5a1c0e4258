// Opening a lane: one process gets it, what a crash left is recovered, and the chain goes on where it ended.
import type { Clock } from '../kernel/clock.js';
import { type Disk, systemDisk } from '../kernel/disk.js';
import type { Timers } from '../kernel/timers.js';
import type { Random } from '../kernel/random.js';
import { type AuditLane, CommittingLane } from './committing-lane.js';
import { lockLane, type Processes } from './lock.js';
import { recoverLane } from './recover.js';
import { laneDirectory } from './segment.js';
import { SegmentWriter } from './segment-writer.js';

export type { AuditLane };

export interface AuditLaneOptions {
  readonly directory: string;
  /** 0 or more; one process per lane. */
  readonly lane: number;
  readonly clock: Clock;
  readonly disk?: Disk;
  readonly processes?: Processes;
  readonly timers: Timers;
  readonly random: Random;
  readonly segmentBytes?: number;
  /** Stands in the records the log writes about itself. */
  readonly awsRegion?: string;
  /** How long a start waits for the lane's predecessor to end. */
  readonly lockWaitMs?: number;
  /** Pause between attempts to write again. */
  readonly probeMs?: number;
}

const defaultSegmentBytes = 64 * 1024 * 1024;
const mostScanBytes = 256 * 1024 * 1024;
const defaultLockWaitMs = 10_000;

/**
 * Locks, recovers and opens lane `lane` of `directory`. Throws AuditInUseError, AuditDamagedError, or the disk's error when the folder
 * cannot be used at all. A disk that is merely full yields a lane that is not writable yet.
 */
export async function openAuditLane(options: AuditLaneOptions): Promise<AuditLane> {
  const { lane, disk = systemDisk, segmentBytes = defaultSegmentBytes } = options;
  if (!Number.isInteger(lane) || lane < 0) throw new RangeError('a lane is a whole number from 0');
  const directory = laneDirectory(options.directory, lane);
  await disk.makeDirectory(directory);
  const lock = await lockLane(
    disk,
    options.timers,
    directory,
    lane,
    options.lockWaitMs ?? defaultLockWaitMs,
    options.processes,
  );
  try {
    const recovered = await recoverLane(disk, directory, lane, mostScanBytes);
    const writer = new SegmentWriter(disk, directory, segmentBytes);
    if (recovered.segment !== undefined) await writer.resume(recovered.segment.path, recovered.segment.size);
    const opened = new CommittingLane({ ...options, disk, directory }, lock, recovered, writer);
    await opened.start();
    return opened;
  } catch (error) {
    await lock.release();
    throw error;
  }
}
