// A gateway's life: it listens to the supervisor's channel, serves when all is ready, and drains when it is told to stop.
import { AuditDamagedError } from '../audit/recover.js';
import { type FatalCode, type FromGateway, type GatewayConfig, sent, type ToGateway } from '../config/processes.js';
import type { Clock, MonotonicClock } from '../kernel/clock.js';
import type { Timers } from '../kernel/timers.js';
import { BridgeError } from '../kernel/errors.js';
import { ignoreTerminalSignals } from '../kernel/terminal-signals.js';
import { defaultKeyStore, isSameKeyStore, keyStoreName } from '../model/key-store.js';
import type { Credential } from '../model/principal.js';
import type { Drainable, Facade } from '../ports/facade.js';
import { BoundAddresses } from '../process/endpoint.js';
import { FatalError } from '../process/fatal.js';
import type { Job } from '../process/jobs.js';
import { createLog, type Log } from '../process/log.js';
import { createRegionTokens, type RegionTokens } from '../token/regions.js';
import type { Core } from './core.js';
import type { Gateway } from './gateway.js';
import { heartbeat } from './heartbeat.js';
import { createSettler, lookAtUnsettled, settleAudit } from './settle.js';
import { upkeepJob } from './upkeep.js';

/** What `compose.ts` gives it. */
export interface Parts {
  readonly clock: Clock & MonotonicClock;
  readonly timers: Timers;
  /** Opens the store and all that stands on it; nothing listens yet. */
  readonly open: (config: GatewayConfig, tokens: RegionTokens, log: Log) => Promise<Gateway>;
  /** Of gateway 0: one a configured account; makes those that are missing. */
  readonly rootCredentials: (gateway: Gateway) => Promise<readonly Credential[]>;
  /** What façades are given; `addresses` are those they may open. */
  readonly core: (gateway: Gateway, addresses: BoundAddresses) => Core;
  /** Served in this order. */
  readonly facades: readonly Facade<Core>[];
}

/** How long a start waits for its reconcile. */
const settleFirstMs = 2_000;

/** What a gateway says to its supervisor, and how it ends before it is told to. */
export interface Outside {
  readonly send: (message: FromGateway) => void;
  readonly exit: () => void;
}

const outside: Outside = {
  send: (message) => void process.send?.(message),
  exit: () => process.exit(1),
};
const { send } = outside;

const logOf = ({ lane, mode, logLevel }: GatewayConfig): Log =>
  createLog(`gateway-${lane}`, mode === 'dev' ? 'text' : 'json', logLevel);

/** Listens to the supervisor from the moment it returns; Node keeps what came before. */
export function liveAsGateway(parts: Parts): void {
  ignoreTerminalSignals();
  // A supervisor that died: a successor waits until its children are gone.
  process.on('disconnect', () => process.exit(0));
  const sockets = new Map<string, unknown>();
  let tokens: RegionTokens | undefined;
  let serving: Serving | undefined;
  process.on('message', (message: ToGateway, handle: unknown) => {
    switch (message.type) {
      case 'socket':
        sockets.set(message.listener, handle);
        break;
      case 'configure': {
        const log = logOf(message.config);
        tokens = createRegionTokens({
          keyStores: message.config.keyStores,
          deadlineMs: message.config.deadlines.tokenMs,
          clock: parts.clock,
          timers: parts.timers,
          onWanted: (keyStore) => send({ type: 'token-wanted', ...keyStore }),
          onOverrun: (keyStore) => send({ type: 'token-overrun', ...keyStore }),
        });
        const addresses = new BoundAddresses(message.config.listeners, sockets, parts.clock, log);
        parts
          .open(message.config, tokens, log)
          .then((gateway) => serve(parts, gateway, addresses, outside))
          .then((started) => (serving = started), reportAndExit(log));
        break;
      }
      case 'token-ready':
        tokens?.ready(message, message.callsInFlight);
        break;
      case 'token-down':
        tokens?.down(message, message.broken ? (message.code ?? 'not served') : undefined);
        break;
      case 'token-trouble':
        tokens?.trouble(message, message.trouble);
        break;
      case 'renew-tls':
        serving?.renewTls();
        break;
      case 'stop':
        // A gateway that does not serve yet has nothing to finish, and a start may be cut short anywhere.
        if (serving === undefined) process.exit(0);
        void serving.stop().then(() => process.exit(0));
        break;
    }
  });
}

export interface Serving {
  renewTls(): void;
  stop(): Promise<void>;
}

/** Settles what must be settled first, opens the addresses, and says that it is ready. */
export async function serve(
  parts: Pick<Parts, 'rootCredentials' | 'core' | 'facades'>,
  gateway: Gateway,
  addresses: BoundAddresses,
  { send, exit }: Outside,
): Promise<Serving> {
  const { config, store, tokens, log, timers } = gateway;
  await settleAudit(gateway);
  const first = defaultKeyStore(config.defaultRegion);
  const wrong = await store.wrongToken(first);
  if (wrong !== undefined)
    throw new FatalError('token-unsafe', `${wrong}: connect it, or restore the home of this one`);
  const settler = createSettler(gateway);
  tokens.onReady(
    (keyStore) =>
      void settler
        .tokenIsUp(keyStore)
        .catch((error: unknown) => log.error(`reconcile of ${keyStoreName(keyStore)} failed: ${String(error)}`)),
  );
  // Nobody waits for what was never answered: the rest of a long list is settled while the daemon serves, as in every other Region.
  const settling = settler.tokenIsUp(first);
  await Promise.race([settling, timers.sleep(settleFirstMs)]);
  settling.catch((error: unknown) => log.error(`reconcile of ${config.defaultRegion} failed: ${String(error)}`));
  for (const keyStore of config.keyStores) {
    if (!isSameKeyStore(keyStore, first)) void lookAtUnsettled(gateway, keyStore);
  }
  const rootCredentials = config.lane === 0 ? await parts.rootCredentials(gateway) : undefined;
  const core = parts.core(gateway, addresses);
  const served: Drainable[] = [];
  for (const facade of parts.facades) {
    const listening = await facade.listen(core);
    if (listening !== undefined) served.push(listening);
  }
  const job = upkeepJob(gateway, settler);
  const cancelBeats = heartbeat(gateway, timers, () => {
    log.error('another gateway holds this one to be gone: it ends, and is started again');
    exit();
  });
  gateway.ending.signal.addEventListener('abort', cancelBeats);
  send({ type: 'ready', ...(rootCredentials === undefined ? {} : { rootCredentials: rootCredentials.map(sent) }) });
  return { renewTls: () => addresses.renewTls(), stop: () => end(gateway, core, served, job) };
}

async function end(gateway: Gateway, core: Core, served: readonly Drainable[], job: Job): Promise<void> {
  gateway.ending.abort();
  await Promise.all([...served.map((facade) => facade.drain()), core.verification?.stop()]);
  await job.stop();
  await gateway.audit.close();
  await gateway.tokens.close();
  await gateway.store.close();
}

/**
 * Ends a process whose start failed; the supervisor starts another. What that cannot mend is told to it as such, what may pass by itself
 * (a token or a disk that is away) is one line in the log, and anything else is a fault of ours.
 */
const reportAndExit =
  (log: Log) =>
  (error: unknown): never => {
    const code = fatalCode(error);
    if (code !== undefined && error instanceof Error) send({ type: 'fatal', code, message: error.message });
    else if (error instanceof BridgeError) log.error(`cannot start yet: ${error.message}`);
    else throw error;
    // The message leaves before the process does: the channel is flushed at exit.
    process.disconnect();
    process.exit(1);
  };

function fatalCode(error: unknown): FatalCode | undefined {
  if (error instanceof FatalError) return error.code;
  return error instanceof AuditDamagedError ? 'audit-damaged' : undefined;
}
