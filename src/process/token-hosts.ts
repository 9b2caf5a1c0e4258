// The token hosts, one a Region, each started when its token is first wanted: by any caller, which must not be able to end more by it than
// its own call. A host that reported why it cannot run is not started again: a wrong PIN tried twice may lock a token. Only what a
// network or a disk can take away, and give back, is waited for.
import type { RegionConfig } from '../config/daemon.js';
import type { FatalCode, FromTokenHost, ToGateway, ToTokenHost, Trouble } from '../config/processes.js';
import type { TokenInfo } from '../model/token-key.js';
import { type ChildEntry, forkTokenHost } from './entry.js';
import type { MonotonicClock } from '../kernel/clock.js';
import type { Random } from '../kernel/random.js';
import type { Timers } from '../kernel/timers.js';
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
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  readonly random: Random;
  readonly onReady: (region: string, token: TokenInfo) => void;
  /** The host is away, whether it had been ready or not. */
  readonly onDown: (news: TokenNews) => void;
  /** Something went wrong in a host; it is in the log. */
  readonly onTrouble: (region: string, trouble: Trouble) => void;
  /** Whether the daemon ends without this Region: it has not been ready yet, and cannot be without it. */
  readonly isEssential: (region: string) => boolean;
  /** An essential Region cannot be served. */
  readonly onFatal: (fatal: FatalError) => void;
}

/** What a gateway is told of a Region. */
export type TokenNews = Extract<ToGateway, { readonly region: string }>;

/** A token that was there a moment ago may be back in the next. None of these is about the PIN or the token's safety. */
const passing: ReadonlySet<FatalCode> = new Set(['module-missing', 'token-missing', 'home-unwritable']);

interface Slot {
  readonly host: Supervised<ToTokenHost, FromTokenHost>;
  token: TokenInfo | undefined;
  everReady: boolean;
  /** Why calls fail at once; gone when a later host is ready. */
  failure: FatalCode | undefined;
  /** No other host follows. */
  abandoned: boolean;
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

  describe(region: string): TokenInfo | undefined {
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
    const slot: Slot = {
      token: undefined,
      everReady: false,
      failure: undefined,
      abandoned: false,
      host: this.#supervise(config, () => slot),
    };
    this.#slots.set(config.region, slot);
    slot.host.start();
    return slot;
  }

  #supervise(config: RegionConfig, slot: () => Slot): Slot['host'] {
    const { runFolder, log, clock, timers, random, entry, startDeadlineMs } = this.#options;
    const { region } = config;
    const environment = { ...this.#options.environment, ...config.environment };
    return new Supervised<ToTokenHost, FromTokenHost>({
      name: `token host ${region}`,
      runFolder,
      log,
      clock,
      timers,
      random,
      startDeadlineMs,
      fork: () => {
        this.#prepare(slot(), config);
        return forkTokenHost(entry, runFolder, environment);
      },
      onStart: () => slot().host.send({ type: 'configure', config: config.tokenHost }),
      onMessage: (message) => this.#heard(slot(), region, message),
      onExit: () => {
        slot().token = undefined;
        if (slot().failure === undefined) this.#options.onDown({ type: 'token-down', region, broken: false });
      },
    });
  }

  #heard(slot: Slot, region: string, message: FromTokenHost): void {
    if (message.type === 'ready') {
      slot.token = message.token;
      slot.everReady = true;
      slot.failure = undefined;
      slot.host.markReady();
      this.#options.onReady(region, message.token);
    } else if (message.type === 'trouble') {
      const { what, ...fields } = message.trouble;
      this.#options.log.error(`token of ${region}: ${what}`, fields);
      this.#options.onTrouble(region, message.trouble);
    } else {
      this.#failed(slot, region, new FatalError(message.code, message.message));
    }
  }

  /** Throws FatalError, which it has dealt with. */
  #prepare(slot: Slot, config: RegionConfig): void {
    try {
      prepareSofthsm(config);
    } catch (error) {
      if (error instanceof FatalError) this.#failed(slot, config.region, error);
      throw error;
    }
  }

  #failed(slot: Slot, region: string, fatal: FatalError): void {
    const { isEssential, onFatal, log } = this.#options;
    const { code, message } = fatal;
    if (slot.abandoned) return;
    if (passing.has(code) && (slot.everReady || !isEssential(region))) {
      // It ends by itself, and the next one may find the token again.
      if (slot.everReady || slot.failure !== code) log.error(`token of ${region} is away: ${message}`, { code });
      if (!slot.everReady) this.#fail(slot, region, code);
      return;
    }
    slot.abandoned = true;
    void slot.host.stop({ type: 'stop' });
    this.#fail(slot, region, code);
    if (isEssential(region)) onFatal(fatal);
    else log.error(`Region ${region} is not served until the next start: ${message}`, { code });
  }

  /** No call waits for what may not come, or only after a long time. */
  #fail(slot: Slot, region: string, code: FatalCode): void {
    slot.failure = code;
    slot.token = undefined;
    this.#options.onDown({ type: 'token-down', region, broken: true, code });
  }
}

function newsOf(region: string, { failure, token }: Slot): TokenNews | undefined {
  if (failure !== undefined) return { type: 'token-down', region, broken: true, code: failure };
  return token === undefined ? undefined : { type: 'token-ready', region, callsInFlight: token.callsInFlight };
}
