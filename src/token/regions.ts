// The tokens of all key stores of the served Regions, as one gateway sees them. A token host is asked for when its token is first used.
import type { Trouble } from '../config/processes.js';
import type { MonotonicClock } from '../kernel/clock.js';
import { BridgeError } from '../kernel/errors.js';
import type { Timers } from '../kernel/timers.js';
import { keyStoreName, type KeyStoreRef } from '../model/key-store.js';
import type { Token, Tokens } from '../ports/token.js';
import { connectToken, type Connect, type TokenClient } from './client.js';
import type { TrafficState } from './traffic.js';

export interface RegionTokensOptions {
  /** A Region's default one before its others. */
  readonly keyStores: readonly (KeyStoreRef & { readonly socketPath: string })[];
  readonly deadlineMs: number;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** Undefined: over a socket. */
  readonly connect?: Connect;
  /** Once for each. */
  readonly onWanted: (keyStore: KeyStoreRef) => void;
  readonly onOverrun: (keyStore: KeyStoreRef) => void;
}

export interface RegionTokens extends Tokens {
  ready(keyStore: KeyStoreRef, callsInFlight: number): void;
  /** `broken`: why calls fail at once until it is ready. Undefined: they wait for it. */
  down(keyStore: KeyStoreRef, broken: string | undefined): void;
  isUp(keyStore: KeyStoreRef): boolean;
  /** This gateway's calls of its token: those that make keys, or all others. */
  state(keyStore: KeyStoreRef, work: 'using' | 'making'): TrafficState;
  /** By name, the key stores in which calls fail at once, and why; also those that keys were found in and that are not configured. */
  broken(): ReadonlyMap<string, string>;
  /** Keys are in a key store that is not configured. */
  missed(keyStore: KeyStoreRef): void;
  /** A token host says what went wrong in it. */
  trouble(keyStore: KeyStoreRef, trouble: Trouble): void;
  onTrouble(listener: (keyStore: KeyStoreRef, trouble: Trouble) => void): void;
  /** Calls back each time a token host has come up, and at once for those that are. */
  onReady(listener: (keyStore: KeyStoreRef) => void): void;
  close(): Promise<void>;
}

interface Entry {
  readonly keyStore: KeyStoreRef;
  readonly client: TokenClient;
  wanted: boolean;
  up: boolean;
}

interface Region {
  /** In the order of the configuration. */
  readonly keyStores: KeyStoreRef[];
  readonly byName: Map<string | undefined, Entry>;
}

/** They are named by rows, each of which an operator had configured. */
const missedTold = 100;

export function createRegionTokens(options: RegionTokensOptions): RegionTokens {
  const regions = new Map<string, Region>();
  const entries: Entry[] = [];
  const broken = new Map<string, string>();
  const listeners: ((keyStore: KeyStoreRef) => void)[] = [];
  const troubleListeners: ((keyStore: KeyStoreRef, trouble: Trouble) => void)[] = [];
  for (const { region, keyStore: name, socketPath } of options.keyStores) {
    const { deadlineMs, clock, timers, connect } = options;
    const keyStore: KeyStoreRef = { region, keyStore: name };
    const onOverrun = (): void => options.onOverrun(keyStore);
    const given = { socketPath, deadlineMs, clock, timers, onOverrun };
    const client = connectToken(connect === undefined ? given : { ...given, connect });
    const entry: Entry = { keyStore, client, wanted: false, up: false };
    const known = regions.get(region) ?? { keyStores: [], byName: new Map<string | undefined, Entry>() };
    known.keyStores.push(keyStore);
    known.byName.set(name, entry);
    regions.set(region, known);
    entries.push(entry);
  }
  const find = ({ region, keyStore }: KeyStoreRef): Entry | undefined => regions.get(region)?.byName.get(keyStore);
  const entryOf = (keyStore: KeyStoreRef): Entry => {
    const found = find(keyStore);
    if (found === undefined) throw new Error(`key store ${keyStoreName(keyStore)} is not configured`);
    return found;
  };
  const missed = (keyStore: KeyStoreRef): void => {
    if (broken.size < missedTold) broken.set(keyStoreName(keyStore), 'not configured');
  };
  const want = (entry: Entry): void => {
    entry.wanted = true;
    options.onWanted(entry.keyStore);
  };
  return {
    of(keyStore, asker): Token {
      const entry = find(keyStore);
      if (entry === undefined) {
        missed(keyStore);
        throw notConfigured(keyStore);
      }
      if (!entry.wanted) want(entry);
      return entry.client.as(asker);
    },
    keyStoresOf: (region) => regions.get(region)?.keyStores ?? [],
    ready(keyStore, callsInFlight) {
      const entry = entryOf(keyStore);
      entry.up = true;
      broken.delete(keyStoreName(keyStore));
      entry.client.ready(callsInFlight);
      for (const listener of listeners) listener(entry.keyStore);
    },
    down(keyStore, why) {
      const entry = entryOf(keyStore);
      entry.up = false;
      if (why !== undefined) broken.set(keyStoreName(keyStore), why);
      entry.client.down(why !== undefined);
    },
    isUp: (keyStore) => find(keyStore)?.up === true,
    state: (keyStore, work) => entryOf(keyStore).client.state(work),
    broken: () => broken,
    missed,
    onReady(listener) {
      listeners.push(listener);
      for (const { keyStore, up } of entries) if (up) listener(keyStore);
    },
    trouble(keyStore, trouble) {
      for (const listener of troubleListeners) listener(keyStore, trouble);
    },
    onTrouble: (listener) => void troubleListeners.push(listener),
    async close() {
      await Promise.all(entries.map(({ client }) => client.close()));
    },
  };
}

/** The operator reads why; the caller hears what it hears of any token that is away. */
const notConfigured = (keyStore: KeyStoreRef): BridgeError =>
  new BridgeError('KMSInternalException', undefined, {
    cause: new Error(`the key store ${keyStoreName(keyStore)} is not configured`),
  });
