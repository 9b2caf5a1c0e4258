// Faults of ours in the operational log. Callers can cause them again and again, so that their number is bounded: what is left out is
// counted, and told with the next that is written.
import type { Clock } from '../kernel/clock.js';
import type { Log } from './log.js';

/** As many may come at once, and one more each second after. */
const burst = 20;
const refillMs = 1000;

/** A stack of ours and its causes; errors with input bytes in their message (JSON, base64) never come so far. */
export function createFaultLog(log: Log, clock: Clock): (error: unknown) => void {
  let room = burst;
  let refilledAtMs = clock.now();
  let leftOut = 0;
  return (error) => {
    const refills = Math.floor((clock.now() - refilledAtMs) / refillMs);
    if (refills > 0) {
      room = Math.min(burst, room + refills);
      refilledAtMs += refills * refillMs;
    }
    if (room === 0) {
      leftOut += 1;
      return;
    }
    room -= 1;
    log.error(faultText(error) + (leftOut > 0 ? `\n${leftOut} faults before this one were left out` : ''));
    leftOut = 0;
  };
}

function faultText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = error.stack ?? error.message;
  return error.cause instanceof Error ? `${text}\ncaused by ${faultText(error.cause)}` : text;
}
