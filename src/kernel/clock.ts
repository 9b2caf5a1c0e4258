// Time as the line sees it. Only `systemClock` reads the machine's; a simulation brings its own.

export interface Clock {
  /** Milliseconds since 1970-01-01 UTC. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };
