// Time as the daemon sees it. Only `systemClock` reads the machine's; a simulation brings its own.

export interface Clock {
  /** Milliseconds since 1970-01-01 UTC. Steps whenever somebody sets the machine's time. */
  now(): number;
}

/** For deadlines and intervals: never steps, and stands still while the machine sleeps. */
export interface MonotonicClock {
  /** Milliseconds since a moment of no meaning. */
  monotonicMs(): number;
}

export const systemClock: Clock & MonotonicClock = { now: () => Date.now(), monotonicMs: () => performance.now() };
