// The token hosts, one a Region, each started when its token is first wanted. A host that reported why it cannot run is not started
// again: a wrong PIN tried twice may lock a token. Only what a network can take away, and give back, is waited for.
import type { RegionConfig } from '../config/daemon.js';
import type { Fatal, FatalCode, FromTokenHost, ToGateway, TokenDescription, ToTokenHost } from '../config/processes.js';
import { type ChildEntry, forkTokenHost } from './entry.js';
import { FatalError } from './fatal.js';
import { prepareSofthsm } from './home.js';
import type { Log } from './log.js';
import { Supervised } from './supervised.js';

export interface TokenHostsOptions {
  readonly regions: readonly RegionConfig[];
  readonly runFolder: string;
  readonly entry: ChildEntry;
  readonly environment: Readonly<Record<string, string>>;
  /** From a host's start until it is ready. */
  readonly startDeadlineMs: number;
  readonly log: Log;
  readonly onReady: (region: string, token: TokenDescription) => void;
  /** The host is away, whether it had been ready or not; `broken`: for good. */
  readonly onDown: (region: string, broken: boolean) => void;
  readonly onFatal: (region: string, fatal: FatalError) => void;
}

/** What a gateway is told of a Region. */
export type TokenNews = Extract<ToGateway, { readonly region: string }>;

/** A token that was there a moment ago may be back in the next. None of these is about the PIN or the token's safety. */
const passing: ReadonlySet<FatalCode> = new Set(['module-missing', 'token-missing', 'home-unwritable']);

interface Slot {
  readonly host: Supervised<ToTokenHost, FromTokenHost>;
  token: TokenDescription | undefined;
  everReady: boolean;
  broken: boolean;
}

export class TokenHosts {
  readonly #options: TokenHostsOptions;
  readonly #slots = new Map<string, Slot>();

  constructor(options: TokenHostsOptions) {
    this.#options = options;
  }

  /** Starts this Region's host unless it runs. What there is to say of it already; a Region that is not served counts as broken. */
  want(region: string): TokenNews | undefined {
    const config = this.#options.regions.find((candidate) => candidate.region === region);
    if (config === undefined) return { type: 'token-down', region, broken: true };
    const slot = this.#slots.get(region) ?? this.#add(config);
    return newsOf(region, slot);
  }

  news(): readonly TokenNews[] {
    return [...this.#slots].flatMap(([region, slot]) => newsOf(region, slot) ?? []);
  }

  describe(region: string): TokenDescription | undefined {
    return this.#slots.get(region)?.token;
  }

  /** It hangs: ends the process, a new one follows. */
  kill(region: string): void {
    this.#slots.get(region)?.host.kill();
  }

  killAll(): void {
    for (const { host } of this.#slots.values()) host.kill();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#slots.values()].map(({ host }) => host.stop({ type: 'stop' })));
  }

  #add(config: RegionConfig): Slot {
    const slot: Slot = { token: undefined, everReady: false, broken: false, host: this.#supervise(config, () => slot) };
    this.#slots.set(config.region, slot);
    try {
      prepareSofthsm(config);
      slot.host.start();
    } catch (error) {
      if (!(error instanceof FatalError)) throw error;
      this.#abandon(slot, config.region, error);
    }
    return slot;
  }

  #supervise(config: RegionConfig, slot: () => Slot): Slot['host'] {
    const { runFolder, log, entry, startDeadlineMs } = this.#options;
    const { region } = config;
    const environment = { ...this.#options.environment, ...config.environment };
    return new Supervised<ToTokenHost, FromTokenHost>({
      name: `token host ${region}`,
      runFolder,
      log,
      startDeadlineMs,
      fork: () => forkTokenHost(entry, runFolder, environment),
      onStart: () => slot().host.send({ type: 'configure', config: config.tokenHost }),
      onMessage: (message) => this.#heard(slot(), region, message),
      onExit: () => {
        slot().token = undefined;
        if (!slot().broken) this.#options.onDown(region, false);
      },
    });
  }

  #heard(slot: Slot, region: string, message: FromTokenHost): void {
    if (message.type === 'ready') {
      slot.token = message.token;
      slot.everReady = true;
      slot.host.markReady();
      this.#options.onReady(region, message.token);
    } else if (slot.everReady && passing.has(message.code)) {
      // It ends by itself, and the next one may find the token again.
      this.#options.log.error(`token of ${region} is away: ${message.message}`, { code: message.code });
    } else if (!slot.broken) {
      this.#abandon(slot, region, toError(message));
    }
  }

  #abandon(slot: Slot, region: string, fatal: FatalError): void {
    slot.broken = true;
    slot.token = undefined;
    void slot.host.stop({ type: 'stop' });
    this.#options.onDown(region, true);
    this.#options.onFatal(region, fatal);
  }
}

function newsOf(region: string, { broken, token }: Slot): TokenNews | undefined {
  if (broken) return { type: 'token-down', region, broken };
  return token === undefined ? undefined : { type: 'token-ready', region };
}

const toError = (fatal: Fatal): FatalError => new FatalError(fatal.code, fatal.message);
