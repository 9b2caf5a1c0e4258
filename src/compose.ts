// The gateway put together: the only file that names concrete adapters and façades.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openAuditLane } from './audit/lane.js';
import type { Processes } from './audit/lock.js';
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
import { liveAsGateway, type Parts } from './gateway/life.js';
import { createReadiness } from './gateway/readiness.js';
import { type Clock, type MonotonicClock, systemClock } from './kernel/clock.js';
import { type Disk, systemDisk } from './kernel/disk.js';
import { type Random, systemRandom } from './kernel/random.js';
import { systemTimers, type Timers } from './kernel/timers.js';
import type { Services } from './operations/define.js';
import { Budgets } from './pipeline/budgets.js';
import { createMessageCount } from './pipeline/message-count.js';
import { audited, noticed } from './pipeline/service-event.js';
import type { Store } from './ports/store.js';
import { ClockKeeper } from './process/clock-keeper.js';
import { type ClockPoint, presentPoint } from './process/clock-point.js';
import { FatalError } from './process/fatal.js';
import { createFaultLog } from './process/fault-log.js';
import { hostOf } from './process/host.js';
import type { Log } from './process/log.js';
import { createMetrics, type Metrics } from './process/metrics.js';
import { StoreOpenError } from './store/backend.js';
import { openStore, type StoreOptions } from './store/open.js';
import type { RegionTokens } from './token/regions.js';

/** Of one account: a quarter of the places that a gateway has. */
const requestsInFlight = 1024;

/** What a gateway runs on: a simulation brings its own. */
export interface Machine {
  readonly clock: Clock & MonotonicClock;
  readonly timers: Timers;
  readonly random: Random;
  /** The audit log's. */
  readonly disk: Disk;
  /** Undefined: this machine's. */
  readonly processes: Processes | undefined;
  readonly openStore: (options: StoreOptions) => Promise<Store>;
  /** The moment, by its clock and since its start. */
  readonly present: () => ClockPoint;
  readonly createMetrics: () => Metrics;
}

const machine: Machine = {
  clock: systemClock,
  timers: systemTimers,
  random: systemRandom,
  disk: systemDisk,
  processes: undefined,
  openStore,
  present: () => presentPoint(systemClock.now()),
  createMetrics,
};

export const runGateway = (): void => liveAsGateway(partsOn(machine));

export const partsOn = (machine: Machine): Parts => ({
  clock: machine.clock,
  timers: machine.timers,
  open: (config, tokens, log) => open(machine, config, tokens, log),
  rootCredentials: (gateway) => {
    const { store, services, config } = gateway;
    return ensureRootCredentials(store.credentials, services.random, config.accounts, auditAccessKey(gateway));
  },
  core,
  facades: [awsJson, admin],
});

async function open(machine: Machine, config: GatewayConfig, tokens: RegionTokens, log: Log): Promise<Gateway> {
  const { clock, timers, random, disk } = machine;
  const storeFolder = join(config.home, 'store');
  mkdirSync(storeFolder, { recursive: true, mode: 0o700 });
  const store = await openOrTell(machine, {
    path: join(storeFolder, 'hsm-bridge.db'),
    tokens,
    defaultRegion: config.defaultRegion,
    clock,
    timers,
    random,
    onBroken: (table, id) => refused(table, id),
    onFault: (fault) => faulty(fault),
    shared: config.gateways > 1,
  });
  const newestMs = await newestRecordMs(join(config.home, 'audit'), disk);
  const audit = await openAuditLane({
    directory: join(config.home, 'audit'),
    lane: config.lane,
    clock,
    timers,
    random,
    disk,
    ...(machine.processes === undefined ? {} : { processes: machine.processes }),
    awsRegion: config.defaultRegion,
  });
  // After its lane is its own: what an earlier life left is then known to be abandoned.
  const life = await store.lives.begin({
    host: hostOf(config.home, random),
    lane: config.lane,
    lanes: config.gateways,
  });
  const base = {
    store,
    audit,
    clock,
    clockDoubt: () => keeper.doubt(),
    random,
    life,
    timers,
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
  const metrics = machine.createMetrics();
  tokens.onTrouble((keyStore, trouble) => metrics.tokenTrouble(keyStore, trouble));
  const connections = new ConnectionTable({
    clock,
    dropped: (reason) => metrics.connectionDropped(reason),
  });
  const keeper = createKeeper(machine, config, services, newestMs, log);
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
    clock,
    timers,
    ending: new AbortController(),
  };
}

/** What is said of the machine's clock goes into the audit log, too. */
function createKeeper(
  { present }: Machine,
  { home, defaultRegion: region }: GatewayConfig,
  services: Services,
  newest: number | undefined,
  log: Log,
): ClockKeeper {
  return new ClockKeeper({
    home,
    present,
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
async function openOrTell({ openStore }: Machine, options: StoreOptions): Promise<Store> {
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
