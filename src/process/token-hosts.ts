// The token hosts, one a key store, each started when its token is first wanted: by any caller, which must not be able to end more by it than
// its own call. A host that reported why it cannot run is not started again: a wrong PIN tried twice may lock a token. Only what a
// network or a disk can take away, and give back, is waited for.
import type { KeyStoreConfig } from '../config/daemon.js';
import type { FatalCode, FromTokenHost, ToGateway, ToTokenHost, Trouble } from '../config/processes.js';
import { isDefault, isSameKeyStore, keyStoreName, type KeyStoreRef } from '../model/key-store.js';
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
  readonly keyStores: readonly KeyStoreConfig[];
  readonly runFolder: string;
  readonly entry: ChildEntry;
  readonly environment: Readonly<Record<string, string>>;
  /** From a host's start until it is ready. */
  readonly startDeadlineMs: number;
  readonly log: Log;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  readonly random: Random;
  readonly onReady: (keyStore: KeyStoreRef, token: TokenInfo) => void;
  /** The host is away, whether it had been ready or not. */
  readonly onDown: (news: TokenNews) => void;
  /** Something went wrong in a host; it is in the log. */
  readonly onTrouble: (keyStore: KeyStoreRef, trouble: Trouble) => void;
  /** Whether the daemon ends without this token: it has not been ready yet, and cannot be without it. */
  readonly isEssential: (keyStore: KeyStoreRef) => boolean;
  /** An essential one cannot be used. */
  readonly onFatal: (fatal: FatalError) => void;
}

/** What a gateway is told of a token. */
export type TokenNews = Extract<ToGateway, KeyStoreRef>;

/** A token that was there a moment ago may be back in the next. None of these is about the PIN or the token's safety. */
const passing: ReadonlySet<FatalCode> = new Set(['module-missing', 'token-missing', 'home-unwritable']);

interface Slot {
  readonly keyStore: KeyStoreRef;
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
  /** By name. */
  readonly #slots = new Map<string, Slot>();

  constructor(options: TokenHostsOptions) {
    this.#options = options;
  }

  /** Starts the token's host unless it runs. What there is to say of it already; a key store that is not configured counts as broken. */
  want({ region, keyStore }: KeyStoreRef): TokenNews | undefined {
    const wanted = { region, keyStore };
    const config = this.#options.keyStores.find((candidate) => isSameKeyStore(candidate, wanted));
    if (config === undefined) return { type: 'token-down', ...wanted, broken: true };
    return newsOf(this.#slotOf(wanted) ?? this.#add(wanted, config));
  }

  news(): readonly TokenNews[] {
    return [...this.#slots.values()].flatMap((slot) => newsOf(slot) ?? []);
  }

  describe(keyStore: KeyStoreRef): TokenInfo | undefined {
    return this.#slotOf(keyStore)?.token;
  }

  /** It hangs: ends the process, a new one follows. */
  kill(keyStore: KeyStoreRef): void {
    this.#slotOf(keyStore)?.host.kill();
  }

  killAll(): void {
    for (const { host } of this.#slots.values()) host.kill();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#slots.values()].map(({ host }) => host.stop({ type: 'stop' })));
  }

  #slotOf(keyStore: KeyStoreRef): Slot | undefined {
    return this.#slots.get(keyStoreName(keyStore));
  }

  #add(keyStore: KeyStoreRef, config: KeyStoreConfig): Slot {
    const slot: Slot = {
      keyStore,
      token: undefined,
      everReady: false,
      failure: undefined,
      abandoned: false,
      host: this.#supervise(config, () => slot),
    };
    this.#slots.set(keyStoreName(keyStore), slot);
    slot.host.start();
    return slot;
  }

  #supervise(config: KeyStoreConfig, slot: () => Slot): Slot['host'] {
    const { runFolder, log, clock, timers, random, entry, startDeadlineMs } = this.#options;
    const environment = { ...this.#options.environment, ...config.environment };
    return new Supervised<ToTokenHost, FromTokenHost>({
      name: `token host ${keyStoreName(config)}`,
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
      onMessage: (message) => this.#heard(slot(), message),
      onExit: () => {
        const { failure, keyStore } = slot();
        slot().token = undefined;
        if (failure === undefined) this.#options.onDown({ type: 'token-down', ...keyStore, broken: false });
      },
    });
  }

  #heard(slot: Slot, message: FromTokenHost): void {
    if (message.type === 'ready') {
      slot.token = message.token;
      slot.everReady = true;
      slot.failure = undefined;
      slot.host.markReady();
      this.#options.onReady(slot.keyStore, message.token);
    } else if (message.type === 'trouble') {
      const { what, ...fields } = message.trouble;
      this.#options.log.error(`token of ${keyStoreName(slot.keyStore)}: ${what}`, fields);
      this.#options.onTrouble(slot.keyStore, message.trouble);
    } else {
      this.#failed(slot, new FatalError(message.code, message.message));
    }
  }

  /** Throws FatalError, which it has dealt with. */
  #prepare(slot: Slot, config: KeyStoreConfig): void {
    try {
      prepareSofthsm(config);
    } catch (error) {
      if (error instanceof FatalError) this.#failed(slot, error);
      throw error;
    }
  }

  #failed(slot: Slot, fatal: FatalError): void {
    const { isEssential, onFatal, log } = this.#options;
    const { code, message } = fatal;
    const { keyStore } = slot;
    if (slot.abandoned) return;
    if (passing.has(code) && (slot.everReady || !isEssential(keyStore))) {
      // It ends by itself, and the next one may find the token again.
      if (slot.everReady || slot.failure !== code)
        log.error(`token of ${keyStoreName(keyStore)} is away: ${message}`, { code });
      if (!slot.everReady) this.#fail(slot, code);
      return;
    }
    slot.abandoned = true;
    void slot.host.stop({ type: 'stop' });
    this.#fail(slot, code);
    const what = isDefault(keyStore) ? 'Region' : 'key store';
    if (isEssential(keyStore)) onFatal(fatal);
    else log.error(`${what} ${keyStoreName(keyStore)} is not served until the next start: ${message}`, { code });
  }

  /** No call waits for what may not come, or only after a long time. */
  #fail(slot: Slot, code: FatalCode): void {
    slot.failure = code;
    slot.token = undefined;
    this.#options.onDown({ type: 'token-down', ...slot.keyStore, broken: true, code });
  }
}

function newsOf({ keyStore, failure, token }: Slot): TokenNews | undefined {
  if (failure !== undefined) return { type: 'token-down', ...keyStore, broken: true, code: failure };
  return token === undefined ? undefined : { type: 'token-ready', ...keyStore, callsInFlight: token.callsInFlight };
}
