// The daemon's use of the clock's points: it says whether the clock is believed now, keeps the last point young while it is, and has the
// operator's word recorded before it counts for good.
import { type ClockPoint, disbelief, readPoint, writePoint } from './clock-point.js';

/** A point is written again when it is older: a machine that starts anew is believed for three days from there. */
const renewAfterMs = 10 * 60_000;

export interface ClockKeeperOptions {
  readonly home: string;
  readonly present: () => ClockPoint;
  /** The time of the newest audit record, for a home without a point; undefined: there is none. */
  readonly newestRecordMs: number | undefined;
  /** Called once for each confirmation, and again when it failed. */
  readonly onConfirmed: () => Promise<void>;
  /** Called when the clock is no longer believed, with why. */
  readonly onHeld: (why: string) => Promise<void>;
}

export class ClockKeeper {
  readonly #options: ClockKeeperOptions;
  #reported = false;

  constructor(options: ClockKeeperOptions) {
    this.#options = options;
  }

  /** Why the clock is not believed now; undefined: it is. A point that cannot be read is no evidence. */
  doubt(): string | undefined {
    try {
      const { home, present, newestRecordMs } = this.#options;
      const point = readPoint(home) ?? (newestRecordMs === undefined ? undefined : unproven(newestRecordMs));
      return point === undefined ? undefined : disbelief(point, present());
    } catch (error) {
      return `the last point of the clock cannot be read: ${String(error)}`;
    }
  }

  /** As `doubt`, and keeps what there is to keep. Throws what recording or writing throws. */
  async look(): Promise<string | undefined> {
    const { home, onConfirmed, onHeld } = this.#options;
    const why = this.doubt();
    if (why !== undefined) {
      if (!this.#reported) await onHeld(why);
      this.#reported = true;
      return why;
    }
    this.#reported = false;
    const point = readPoint(home);
    if (point?.confirmed === true) await onConfirmed();
    const next = successor(point, this.#options.present());
    if (next !== point) writePoint(home, next);
    return undefined;
  }
}

/** Within a boot the wall time goes on from the first point, whatever the clock says now: small steps must not add up. */
function successor(point: ClockPoint | undefined, present: ClockPoint): ClockPoint {
  if (point?.boot !== present.boot) return present;
  const passedMs = present.uptimeMs - point.uptimeMs;
  if (passedMs < renewAfterMs && !point.confirmed) return point;
  return { ...present, wallMs: point.wallMs + passedMs };
}

/** Of no boot that can be the present one. */
const unproven = (wallMs: number): ClockPoint => ({ wallMs, boot: '', uptimeMs: 0, confirmed: false });
