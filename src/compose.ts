// The gateway put together: the only file that names concrete adapters and façades.
import './process/modest-heap.js';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openAuditLane } from './audit/lane.js';
import { newestRecordMs } from './audit/newest.js';
import { createAuthenticator } from './authn/authenticate.js';
import { ensureRootCredentials, type AuditCreation } from './authn/root-credentials.js';
import { rootTarget } from './authn/target.js';
import type { GatewayConfig } from './config/processes.js';
import { admin } from './facades/admin/facade.js';
import { ConnectionTable } from './facades/aws-json/connections.js';
import { awsJson } from './facades/aws-json/facade.js';
import { type Core, verifyAudit } from './gateway/core.js';
import type { Gateway } from './gateway/gateway.js';
import { liveAsGateway } from './gateway/life.js';
import { createReadiness } from './gateway/readiness.js';
import { systemClock } from './kernel/clock.js';
import { systemRandom } from './kernel/random.js';
import { systemTimers } from './kernel/timers.js';
import type { Services } from './operations/define.js';
import { Budgets } from './pipeline/budgets.js';
import { createMessageCount } from './pipeline/message-count.js';
import { audited, noticed } from './pipeline/service-event.js';
import { ClockKeeper } from './process/clock-keeper.js';
import { presentPoint } from './process/clock-point.js';
import { FatalError } from './process/fatal.js';
import { createFaultLog } from './process/fault-log.js';
import { hostOf } from './process/host.js';
import type { Log } from './process/log.js';
import { createMetrics } from './process/metrics.js';
import { StoreOpenError } from './store/backend.js';
import { openStore, type StoreOptions } from './store/open.js';
import type { RegionTokens } from './token/regions.js';

/** Of one account: a quarter of the places that a gateway has. */
const requestsInFlight = 1024;

export const runGateway = (): void =>
  liveAsGateway({
    clock: systemClock,
    timers: systemTimers,
    open,
    rootCredentials: (gateway) => {
      const { store, services, config } = gateway;
      return ensureRootCredentials(store.credentials, services.random, config.accounts, auditAccessKey(gateway));
    },
    core,
    facades: [awsJson, admin],
  });

async function open(config: GatewayConfig, tokens: RegionTokens, log: Log): Promise<Gateway> {
  const storeFolder = join(config.home, 'store');
  mkdirSync(storeFolder, { recursive: true, mode: 0o700 });
  const store = await openOrTell({
    path: join(storeFolder, 'hsm-bridge.db'),
    tokens,
    defaultRegion: config.defaultRegion,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    onBroken: (table, id) => refused(table, id),
    onFault: (fault) => faulty(fault),
    shared: config.gateways > 1,
  });
  const newestMs = await newestRecordMs(join(config.home, 'audit'));
  const audit = await openAuditLane({
    directory: join(config.home, 'audit'),
    lane: config.lane,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    awsRegion: config.defaultRegion,
  });
  // After its lane is its own: what an earlier life left is then known to be abandoned.
  const life = await store.lives.begin({
    host: hostOf(config.home, systemRandom),
    lane: config.lane,
    lanes: config.gateways,
  });
  const base = {
    store,
    audit,
    clock: systemClock,
    clockDoubt: () => keeper.doubt(),
    random: systemRandom,
    life,
    timers: systemTimers,
    tokens,
  };
  const services = { ...base, countMessage: createMessageCount(base) };
  const note = (eventName: string, details: Readonly<Record<string, string>>): void => {
    noticed(services, { eventName, region: config.defaultRegion, details }).catch((error: unknown) =>
      log.error(`${eventName} is not in the audit log: ${String(error)}`),
    );
  };
  const refused = (table: string, id: string): void => {
    log.error(`the row ${id} of ${table} was not written by this daemon, or is an older copy: it is refused`);
    note('RowRefused', { table, id });
  };
  const faulty = (fault: string): void => {
    log.error(`the database is refused, and nothing is served: ${fault}`);
    note('StoreRefused', { fault });
  };
  const metrics = createMetrics();
  tokens.onTrouble((keyStore, trouble) => metrics.tokenTrouble(keyStore, trouble));
  const connections = new ConnectionTable({
    clock: systemClock,
    dropped: (reason) => metrics.connectionDropped(reason),
  });
  const keeper = createKeeper(config, services, newestMs, log);
  return {
    config,
    services,
    store,
    audit,
    tokens,
    keeper,
    connections,
    metrics,
    log,
    clock: systemClock,
    timers: systemTimers,
    ending: new AbortController(),
  };
}

/** What is said of the machine's clock goes into the audit log, too. */
function createKeeper(
  { home, defaultRegion: region }: GatewayConfig,
  services: Services,
  newest: number | undefined,
  log: Log,
): ClockKeeper {
  return new ClockKeeper({
    home,
    present: () => presentPoint(systemClock.now()),
    newestRecordMs: newest,
    onHeld(why) {
      const remedy = `set it right, or, if it is right, type hsm-bridge confirm-clock --home ${home}`;
      log.error(`${why}: no scheduled deletion is carried out; ${remedy}`);
      return noticed(services, { eventName: 'ClockDoubted', region, details: { reason: why } });
    },
    onConfirmed() {
      log.warn('an operator has confirmed the clock: scheduled deletions go on');
      return noticed(services, { eventName: 'ClockConfirmed', region });
    },
  });
}

function core(gateway: Gateway, addresses: Core['addresses']): Core {
  const { config, services, store, connections, metrics, log } = gateway;
  const verification = addresses.has('admin') ? verifyAudit(gateway) : undefined;
  return {
    addresses,
    line: {
      services,
      budgets: new Budgets({ ...config.limits, requestsInFlight }, (budget) => metrics.throttled(budget)),
      defaultRegion: config.defaultRegion,
      fault: createFaultLog(log, services.clock),
    },
    authenticator: createAuthenticator({
      credentials: store.credentials,
      clock: services.clock,
      regions: new Set(config.keyStores.map(({ region }) => region)),
      services: new Set(['kms', 'sts', 'iam', 'cloudtrail']),
      readTarget: rootTarget,
    }),
    connections,
    timers: gateway.timers,
    meter: {
      started: () => metrics.requestStarted(),
      ended: (operation, code) => metrics.requestEnded(operation, code),
    },
    verification,
    health: verification === undefined ? undefined : createReadiness(gateway, verification),
  };
}

/** What only an operator can mend is told as such. */
async function openOrTell(options: StoreOptions): ReturnType<typeof openStore> {
  try {
    return await openStore(options);
  } catch (error) {
    if (!(error instanceof StoreOpenError)) throw error;
    throw new FatalError(error.reason === 'unwritable' ? 'home-unwritable' : 'store-damaged', error.message);
  }
}

const auditAccessKey =
  ({ services, config }: Gateway): AuditCreation =>
  (accountId, accessKeyId, create) =>
    audited(
      services,
      { eventName: 'CreateAccessKey', region: config.defaultRegion, accountId, details: { accessKeyId, root: true } },
      create,
    );
