// The gateway put together: the only file that names concrete adapters. It listens to the supervisor's channel, serves when all is ready,
// and drains when it is told to stop.
import './process/modest-heap.js';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { AuditDamagedError } from './audit/recover.js';
import { describe, verifyInBackground, type BackgroundVerification } from './audit/background.js';
import { openAuditLane } from './audit/lane.js';
import { newestRecordMs } from './audit/newest.js';
import { createAuthenticator } from './authn/authenticate.js';
import { ensureRootCredentials, type AuditCreation } from './authn/root-credentials.js';
import { rootTarget } from './authn/target.js';
import type { FatalCode, FromGateway, GatewayConfig, Listener, ToGateway } from './config/processes.js';
import { createAdminServer } from './facades/admin/server.js';
import { ConnectionTable, usualLimits } from './facades/aws-json/connections.js';
import { createAwsJsonServer } from './facades/aws-json/server.js';
import type { Gateway } from './gateway/gateway.js';
import { createReadiness } from './gateway/readiness.js';
import { lookAtUnsettled, settleAudit, settler } from './gateway/settle.js';
import { upkeepJob } from './gateway/upkeep.js';
import { systemClock } from './kernel/clock.js';
import type { DrainableServer } from './kernel/drainable-server.js';
import { BridgeError } from './kernel/errors.js';
import { systemRandom } from './kernel/random.js';
import { laneIncarnation } from './model/lane.js';
import type { Services } from './operations/define.js';
import { Budgets } from './pipeline/budgets.js';
import { createMessageCount } from './pipeline/message-count.js';
import { audited, noticed } from './pipeline/service-event.js';
import { ignoreTerminalSignals } from './kernel/terminal-signals.js';
import { ClockKeeper } from './process/clock-keeper.js';
import { presentPoint } from './process/clock-point.js';
import { FatalError } from './process/fatal.js';
import type { Job } from './process/jobs.js';
import { createFaultLog } from './process/fault-log.js';
import { createLog, type Log } from './process/log.js';
import { createMetrics } from './process/metrics.js';
import { type Endpoint, openEndpoint } from './process/endpoint.js';
import { listenOn } from './process/ports.js';
import type { HandshakeRules } from './process/tls-door.js';
import type { Asker } from './ports/token.js';
import { StoreOpenError } from './store/backend.js';
import { openStore } from './store/open.js';
import { createRegionTokens, type RegionTokens } from './token/regions.js';

/** How long a start waits for its reconcile. */
const settleFirstMs = 2_000;
/** Of one account: a quarter of the places that a gateway has. */
const requestsInFlight = 1024;

/** Bound sockets of the supervisor's. */
type Sockets = ReadonlyMap<Listener, unknown>;

const send = (message: FromGateway): void => void process.send?.(message);

/** Listens to the supervisor from the moment it returns; Node keeps what came before. */
export function runGateway(): void {
  ignoreTerminalSignals();
  // A supervisor that died: a successor waits until its children are gone.
  process.on('disconnect', () => process.exit(0));
  const sockets = new Map<Listener, unknown>();
  let tokens: RegionTokens | undefined;
  let serving: Serving | undefined;
  process.on('message', (message: ToGateway, handle: unknown) => {
    switch (message.type) {
      case 'socket':
        sockets.set(message.listener, handle);
        break;
      case 'configure':
        tokens = createRegionTokens({
          regions: message.config.regions,
          deadlineMs: message.config.tokenDeadlineMs,
          clock: systemClock,
          onWanted: (region) => send({ type: 'token-wanted', region }),
          onOverrun: (region) => send({ type: 'token-overrun', region }),
        });
        start(message.config, tokens, sockets).then((started) => (serving = started), reportAndExit(message.config));
        break;
      case 'token-ready':
        tokens?.ready(message.region);
        break;
      case 'token-down':
        tokens?.down(message.region, message.broken ? (message.code ?? 'not served') : undefined);
        break;
      case 'renew-tls':
        serving?.renewTls();
        break;
      case 'stop':
        // Who does not serve yet has nothing to finish, and a start may be cut short anywhere.
        if (serving === undefined) process.exit(0);
        void serving.stop().then(() => process.exit(0));
        break;
    }
  });
}

interface Serving extends Endpoint {
  stop(): Promise<void>;
}

async function start(config: GatewayConfig, tokens: RegionTokens, sockets: Sockets): Promise<Serving> {
  const gateway = await open(config, tokens);
  const { services, store, log } = gateway;
  await settleAudit(gateway);
  const wrong = await store.wrongToken(config.defaultRegion);
  if (wrong !== undefined)
    throw new FatalError('token-unsafe', `${wrong}: connect it, or restore the home of this one`);
  const settle = settler(gateway);
  tokens.onReady(
    (region) =>
      void settle(region).catch((error: unknown) => log.error(`reconcile of ${region} failed: ${String(error)}`)),
  );
  // Nobody waits for what was never answered: the rest of a long list is settled while the daemon serves, as in every other Region.
  const settling = settle(config.defaultRegion);
  await Promise.race([settling, pause(settleFirstMs)]);
  settling.catch((error: unknown) => log.error(`reconcile of ${config.defaultRegion} failed: ${String(error)}`));
  for (const { region } of config.regions) {
    if (region !== config.defaultRegion) void lookAtUnsettled(gateway, region);
  }
  const rootCredentials =
    config.lane === 0
      ? await ensureRootCredentials(store.credentials, services.random, config.accounts, auditAccessKey(gateway))
      : undefined;
  const server = createServer(gateway);
  const endpoint = await openEndpoint(server, sockets, config.tls, handshakeRules(gateway), log);
  const verification = sockets.has('admin') ? verifyAudit(gateway) : undefined;
  const admin = verification === undefined ? undefined : createAdminServer(createReadiness(gateway, verification));
  if (admin !== undefined) await listenOn(admin, sockets.get('admin'), 'admin port');
  const job = upkeepJob(gateway);
  send({ type: 'ready', ...(rootCredentials === undefined ? {} : { rootCredentials }) });
  return { ...endpoint, stop: () => end(gateway, server, admin, job, verification) };
}

const logOf = ({ lane, log }: GatewayConfig): Log => createLog(`gateway-${lane}`, log.style, log.level);

async function open(config: GatewayConfig, tokens: RegionTokens): Promise<Gateway> {
  const log = logOf(config);
  const storeFolder = join(config.home, 'store');
  mkdirSync(storeFolder, { recursive: true, mode: 0o700 });
  const store = await openStore({
    path: join(storeFolder, 'hsm-bridge.db'),
    tokens,
    defaultRegion: config.defaultRegion,
    clock: systemClock,
    onBroken: (table, id) => refused(table, id),
    onFault: (fault) => faulty(fault),
    shared: config.gateways > 1,
  });
  const newestMs = await newestRecordMs(join(config.home, 'audit'));
  const audit = await openAuditLane({
    directory: join(config.home, 'audit'),
    lane: config.lane,
    clock: systemClock,
    awsRegion: config.defaultRegion,
  });
  const incarnation = laneIncarnation(config.lane, systemClock.now());
  const base = {
    store,
    audit,
    clock: systemClock,
    clockDoubt: () => keeper.doubt(),
    random: systemRandom,
    incarnation,
    token: (region: string, asker: Asker) => tokens.of(region, asker),
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
  const connections = new ConnectionTable({ dropped: (reason) => metrics.connectionDropped(reason) });
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
    incarnation,
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

function createServer({ config, services, store, connections, metrics, log }: Gateway): DrainableServer {
  const authenticator = createAuthenticator({
    credentials: store.credentials,
    clock: systemClock,
    regions: new Set(config.regions.map(({ region }) => region)),
    services: new Set(['kms', 'sts', 'iam', 'cloudtrail']),
    readTarget: rootTarget,
  });
  return createAwsJsonServer({
    line: {
      services,
      budgets: new Budgets({ ...config.limits, requestsInFlight }, (budget) => metrics.throttled(budget)),
      defaultRegion: config.defaultRegion,
      fault: createFaultLog(log, systemClock),
    },
    authenticator,
    connections,
    started: () => metrics.requestStarted(),
    ended: (operation, code) => metrics.requestEnded(operation, code),
  });
}

/** Who is at its handshake is a stranger too, and not in the table of connections yet. */
const handshakeRules = ({ connections }: Gateway): HandshakeRules => ({
  limits: { all: usualLimits.unproven, ofSource: usualLimits.unprovenOfSource },
  timeoutMs: usualLimits.firstSignatureMs,
  dropped: (reason) => connections.count(reason),
});

const auditAccessKey =
  ({ services, config }: Gateway): AuditCreation =>
  (accountId, accessKeyId, create) =>
    audited(
      services,
      { eventName: 'CreateAccessKey', region: config.defaultRegion, accountId, details: { accessKeyId, root: true } },
      create,
    );

/** By the gateway that has the admin port, for all lanes: one pace for the one disk, and all it finds is in health and metrics. */
function verifyAudit({ audit, services, config, log }: Gateway): BackgroundVerification {
  return verifyInBackground({
    directory: join(config.home, 'audit'),
    own: { lane: config.lane, lastSeq: () => audit.state().lastSeq },
    clock: systemClock,
    onDamage: (finding) => {
      log.error(`the audit log is damaged: ${describe(finding)}`);
      const { lane, file, line, reason } = finding;
      noticed(services, {
        eventName: 'AuditDamaged',
        region: config.defaultRegion,
        details: { lane, file, line, reason },
      }).catch((error: unknown) => log.error(`AuditDamaged is not in the audit log: ${String(error)}`));
    },
  });
}

async function end(
  gateway: Gateway,
  server: DrainableServer,
  admin: DrainableServer | undefined,
  job: Job,
  verification: BackgroundVerification | undefined,
): Promise<void> {
  gateway.ending.abort();
  await Promise.all([server.drain(), admin?.drain(), verification?.stop()]);
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
  (config: GatewayConfig) =>
  (error: unknown): never => {
    const code = fatalCode(error);
    if (code !== undefined && error instanceof Error) send({ type: 'fatal', code, message: error.message });
    else if (error instanceof BridgeError) logOf(config).error(`cannot start yet: ${error.message}`);
    else throw error;
    // The message leaves before the process does: the channel is flushed at exit.
    process.disconnect();
    process.exit(1);
  };

function fatalCode(error: unknown): FatalCode | undefined {
  if (error instanceof FatalError) return error.code;
  if (error instanceof AuditDamagedError) return 'audit-damaged';
  if (error instanceof StoreOpenError) return error.reason === 'unwritable' ? 'home-unwritable' : 'store-damaged';
  return undefined;
}
