// How long to wait before a process that died is started again: doubling, jittered, forgotten after a minute of health.

export interface Backoff {
  /** Milliseconds to wait before the next start; `healthyMs`: how long the process had been ready when it died. */
  next(healthyMs: number): number;
}

const firstMs = 100;
const longestMs = 30_000;
const forgetAfterMs = 60_000;

/** `random`: uniform in [0, 1). Each wait lies between a half and the whole of 100 ms · 2^n, which ends at 30 s. */
export function createBackoff(random: () => number): Backoff {
  let failures = 0;
  return {
    next(healthyMs) {
      if (healthyMs >= forgetAfterMs) failures = 0;
      const ceiling = Math.min(longestMs, firstMs * 2 ** failures);
      // The exponent stops growing where the ceiling does.
      if (ceiling < longestMs) failures += 1;
      return Math.round(ceiling / 2 + (random() * ceiling) / 2);
    },
  };
}
