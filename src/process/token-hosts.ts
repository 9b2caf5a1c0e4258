// The token hosts, one a Region, each started when its token is first wanted. A host that reported why it cannot run is not started
// again: a wrong PIN tried twice may lock a token.
import type { RegionConfig } from '../config/daemon.js';
import type { Fatal, FromTokenHost, TokenDescription, ToTokenHost } from '../config/processes.js';
import { type ChildEntry, forkTokenHost } from './entry.js';
import { FatalError } from './fatal.js';
import { prepareSofthsm } from './home.js';
import type { Log } from './log.js';
import { type Supervised, supervise } from './supervised.js';

export interface TokenHostsOptions {
  readonly regions: readonly RegionConfig[];
  readonly runFolder: string;
  readonly entry: ChildEntry;
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Log;
  readonly onReady: (region: string, token: TokenDescription) => void;
  /** The host is away, whether it had been ready or not. */
  readonly onDown: (region: string) => void;
  readonly onFatal: (region: string, fatal: FatalError) => void;
}

export interface TokenHosts {
  /** Starts this Region's host unless it runs. `down`: it cannot run, or there is no such Region. */
  want(region: string): 'ready' | 'starting' | 'down';
  live(): readonly string[];
  describe(region: string): TokenDescription | undefined;
  /** A call passed its deadline: ends the process, a new one follows. */
  kill(region: string): void;
  killAll(): void;
  stop(): Promise<void>;
}

interface Slot {
  readonly host: Supervised<ToTokenHost>;
  token: TokenDescription | undefined;
  broken: boolean;
}

export function createTokenHosts(options: TokenHostsOptions): TokenHosts {
  const slots = new Map<string, Slot>();

  const abandon = (slot: Slot, region: string, fatal: FatalError): void => {
    slot.broken = true;
    slot.token = undefined;
    void slot.host.stop({ type: 'stop' });
    options.onDown(region);
    options.onFatal(region, fatal);
  };

  const heard = (slot: Slot, region: string, message: FromTokenHost): void => {
    if (message.type === 'ready') {
      slot.token = message.token;
      slot.host.markReady();
      options.onReady(region, message.token);
    } else if (!slot.broken) {
      abandon(slot, region, toError(message));
    }
  };

  const add = (config: RegionConfig): Slot => {
    const { region } = config;
    const environment = { ...options.environment, ...config.environment };
    const slot: Slot = {
      token: undefined,
      broken: false,
      host: supervise<ToTokenHost, FromTokenHost>({
        name: `token host ${region}`,
        runFolder: options.runFolder,
        log: options.log,
        fork: () => forkTokenHost(options.entry, options.runFolder, environment),
        onStart: () => slot.host.send({ type: 'configure', config: config.tokenHost }),
        onMessage: (message) => heard(slot, region, message),
        onExit: () => {
          slot.token = undefined;
          if (!slot.broken) options.onDown(region);
        },
      }),
    };
    slots.set(region, slot);
    return slot;
  };

  const start = (config: RegionConfig): Slot => {
    const slot = add(config);
    try {
      prepareSofthsm(config);
      slot.host.start();
    } catch (error) {
      if (!(error instanceof FatalError)) throw error;
      abandon(slot, config.region, error);
    }
    return slot;
  };

  return {
    want(region) {
      const config = options.regions.find((candidate) => candidate.region === region);
      if (config === undefined) return 'down';
      const slot = slots.get(region) ?? start(config);
      if (slot.broken) return 'down';
      return slot.token === undefined ? 'starting' : 'ready';
    },
    live: () => [...slots].filter(([, slot]) => slot.token !== undefined).map(([region]) => region),
    describe: (region) => slots.get(region)?.token,
    kill: (region) => slots.get(region)?.host.kill(),
    killAll() {
      for (const { host } of slots.values()) host.kill();
    },
    async stop() {
      await Promise.all([...slots.values()].map(({ host }) => host.stop({ type: 'stop' })));
    },
  };
}

const toError = (fatal: Fatal): FatalError => new FatalError(fatal.code, fatal.message);
