// Whether the machine's clock is believed. A point at which it was right lies in the home, `clock`, with the time since the machine's start,
// which nobody sets: the same boot's clock must have gone as far as that has. A new boot's may be ahead by a plausible time without the
// daemon. Otherwise an operator's word is needed, which is a new point. A hold needs no memory: it lasts while the last point contradicts.
import { uptime } from 'node:os';
import { join } from 'node:path';
import { readUnfollowed, writeDurably } from '../kernel/durable-file.js';
import { bootId } from '../kernel/process-identity.js';

/** A moment by the clock, and by what the kernel counts from the machine's start on, also while it sleeps (CLOCK_BOOTTIME). */
export interface ClockPoint {
  readonly wallMs: number;
  readonly boot: string;
  readonly uptimeMs: number;
  /** Written by the operator's command, and not yet in the audit log. */
  readonly confirmed: boolean;
}

/** Time servers step a clock by less. */
const stepMs = 5 * 60_000;
/** A long weekend without the daemon. */
const longestAbsenceMs = 3 * 86_400_000;

export const clockPath = (home: string): string => join(home, 'clock');

export function presentPoint(wallMs: number): ClockPoint {
  return { wallMs, boot: bootId(), uptimeMs: Math.round(uptime() * 1000), confirmed: false };
}

/** Undefined when there is none, or one that nobody wrote so. Throws Node's error when it cannot be read. */
export function readPoint(home: string): ClockPoint | undefined {
  const text = readUnfollowed(clockPath(home));
  if (text === undefined) return undefined;
  try {
    const { wallMs, boot, uptimeMs, confirmed } = JSON.parse(text) as Partial<ClockPoint>;
    const isPoint = Number.isFinite(wallMs) && typeof boot === 'string' && Number.isFinite(uptimeMs);
    return isPoint ? ({ wallMs, boot, uptimeMs, confirmed: confirmed === true } as ClockPoint) : undefined;
  } catch {
    return undefined;
  }
}

/** Throws Node's error when the disk does not take it. */
export const writePoint = (home: string, point: ClockPoint): void =>
  writeDurably(clockPath(home), `${JSON.stringify(point)}\n`);

/** Why the present is not believed, given a point at which the clock was right; undefined: it is. */
export function disbelief(point: ClockPoint, present: ClockPoint): string | undefined {
  const sameBoot = point.boot === present.boot;
  const aheadMs = present.wallMs - point.wallMs - (sameBoot ? present.uptimeMs - point.uptimeMs : 0);
  if (aheadMs < -stepMs) return `the clock is ${spoken(-aheadMs)} behind where it was`;
  if (aheadMs <= (sameBoot ? stepMs : longestAbsenceMs)) return undefined;
  return sameBoot
    ? `the clock was set forward by ${spoken(aheadMs)}`
    : `the clock is ${spoken(aheadMs)} ahead of the last trace of the daemon`;
}

function spoken(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  return minutes < 180
    ? `${minutes} minutes`
    : minutes < 3 * 1440
      ? `${Math.round(minutes / 60)} hours`
      : `${Math.round(minutes / 1440)} days`;
}
