// The tokens of all served Regions, as one gateway sees them. A Region's token host is asked for when its token is first used.
import type { Trouble } from '../config/processes.js';
import type { MonotonicClock } from '../kernel/clock.js';
import type { Timers } from '../kernel/timers.js';
import type { Token, Tokens } from '../ports/token.js';
import { connectToken, type TokenClient } from './client.js';
import type { TrafficState } from './traffic.js';

export interface RegionTokensOptions {
  readonly regions: readonly { readonly region: string; readonly socketPath: string }[];
  readonly deadlineMs: number;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** Once for each Region. */
  readonly onWanted: (region: string) => void;
  readonly onOverrun: (region: string) => void;
}

export interface RegionTokens extends Tokens {
  ready(region: string, callsInFlight: number): void;
  /** `broken`: why calls in this Region fail at once until it is ready. Undefined: they wait for it. */
  down(region: string, broken: string | undefined): void;
  isUp(region: string): boolean;
  /** This gateway's calls in this Region: those that make keys, or all others. */
  state(region: string, work: 'using' | 'making'): TrafficState;
  /** The Regions in which calls fail at once, and why. */
  broken(): ReadonlyMap<string, string>;
  /** A token host says what went wrong in it. */
  trouble(region: string, trouble: Trouble): void;
  onTrouble(listener: (region: string, trouble: Trouble) => void): void;
  /** Calls back each time a Region's token host has come up, and at once for those that are. */
  onReady(listener: (region: string) => void): void;
  close(): Promise<void>;
}

export function createRegionTokens(options: RegionTokensOptions): RegionTokens {
  const clients = new Map<string, TokenClient>();
  const wanted = new Set<string>();
  const up = new Set<string>();
  const broken = new Map<string, string>();
  const listeners: ((region: string) => void)[] = [];
  const troubleListeners: ((region: string, trouble: Trouble) => void)[] = [];
  for (const { region, socketPath } of options.regions) {
    const { deadlineMs, clock, timers } = options;
    const onOverrun = (): void => options.onOverrun(region);
    clients.set(region, connectToken({ socketPath, deadlineMs, clock, timers, onOverrun }));
  }
  const client = (region: string): TokenClient => {
    const found = clients.get(region);
    if (found === undefined) throw new Error(`Region ${region} is not served`);
    return found;
  };
  return {
    of(region, asker): Token {
      if (!wanted.has(region)) {
        wanted.add(region);
        options.onWanted(region);
      }
      return client(region).as(asker);
    },
    ready(region, callsInFlight) {
      up.add(region);
      broken.delete(region);
      client(region).ready(callsInFlight);
      for (const listener of listeners) listener(region);
    },
    down(region, why) {
      up.delete(region);
      if (why !== undefined) broken.set(region, why);
      client(region).down(why !== undefined);
    },
    isUp: (region) => up.has(region),
    state: (region, work) => client(region).state(work),
    broken: () => broken,
    onReady(listener) {
      listeners.push(listener);
      for (const region of up) listener(region);
    },
    trouble(region, trouble) {
      for (const listener of troubleListeners) listener(region, trouble);
    },
    onTrouble: (listener) => void troubleListeners.push(listener),
    async close() {
      await Promise.all([...clients.values()].map((each) => each.close()));
    },
  };
}
