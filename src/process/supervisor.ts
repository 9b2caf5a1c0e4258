// The supervisor: starts the daemon's processes in order, starts again what dies, and ends them in order. It serves nothing, loads no
// PKCS#11 and sees no PIN. When it returns, no process and no dev.env is left.
import type { DaemonConfig } from '../config/daemon.js';
import { defaultKeyStore, isSameKeyStore, keyStoreName } from '../model/key-store.js';
import type { Credential } from '../model/principal.js';
import { listenersOf } from '../config/schema.js';
import { systemClock } from '../kernel/clock.js';
import { systemRandom } from '../kernel/random.js';
import { systemTimers } from '../kernel/timers.js';
import { banner } from './banner.js';
import { removeDevEnv, writeCredentials, writeDevEnv } from './dev-files.js';
import { forbidDumps } from './dump-limit.js';
import { type ChildEntry, forkGateway } from './entry.js';
import { Gateways, type GatewaysOptions } from './gateways.js';
import { type HeldSocket, holdPath, holdPort } from './held-socket.js';
import { clearRunFolder, prepareHome, runFolder, secureHome, secureRunFolder } from './home.js';
import { lockHome } from './lock.js';
import type { Log } from './log.js';
import { awaitOrphans } from './orphans.js';
import { onSignals } from './shutdown.js';
import { TokenHosts } from './token-hosts.js';

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly entry: ChildEntry;
  /** The environment of token hosts, before their key stores' own settings. */
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Log;
  /** Writes to the user's terminal: the banner. */
  readonly print: (text: string) => void;
}

/** Runs the daemon until it is stopped. True: everything drained in time. Throws FatalError when it cannot run. */
export async function runDaemon(options: DaemonOptions): Promise<boolean> {
  const { home } = options.config;
  forbidDumps(options.log);
  for (const line of prepareHome(options.config)) note(options, line);
  const lock = await lockHome(home);
  try {
    secureRunFolder(home);
    // What a killed predecessor left: a file that says "ready", sockets, perhaps processes.
    removeDevEnv(home);
    const killed = await awaitOrphans(runFolder(home), systemTimers);
    if (killed > 0) options.log.warn(`ended ${killed} process(es) that an earlier daemon left behind`);
    clearRunFolder(home);
    secureHome(home);
    return await superviseAll(options);
  } finally {
    await lock.release();
  }
}

/** By their listeners' names. */
type Sockets = ReadonlyMap<string, HeldSocket>;

/** Holds the addresses before the first gateway and until after the last. */
async function superviseAll(options: DaemonOptions): Promise<boolean> {
  const sockets = new Map<string, HeldSocket>();
  // Once: a handle that is closed twice is another's.
  const release = (): void => {
    for (const socket of sockets.values()) socket.release();
    sockets.clear();
  };
  try {
    await holdAll(options, sockets);
    return await supervise(options, sockets, release);
  } finally {
    release();
  }
}

/** What an operator should know of a place; a developer has chosen it. */
function note({ config, log }: DaemonOptions, line: string): void {
  if (config.mode === 'serve') log.warn(line);
}

async function holdAll(options: DaemonOptions, sockets: Map<string, HeldSocket>): Promise<void> {
  const { config } = options;
  for (const { name, at, setting } of listenersOf(config)) {
    const held =
      'path' in at
        ? await holdPath(at.path, at.mode, (line) => note(options, line))
        : await holdPort(at.host, at.port, setting[config.mode]);
    sockets.set(name, held);
  }
}

async function supervise(options: DaemonOptions, sockets: Sockets, release: () => void): Promise<boolean> {
  const { config, log } = options;
  // A signal's name, or why the daemon cannot go on; the first one counts.
  let end: (cause: string | Error) => void = () => undefined;
  const ended = new Promise<string | Error>((resolve) => {
    end = resolve;
  });
  const { hosts, gateways } = assemble(options, sockets, (cause) => end(cause));

  const forced = { value: false };
  const force = (why: string): void => {
    forced.value = true;
    log.warn(`${why}: ending what still runs`);
    // Stopped before they are killed, so that none is started again.
    void gateways.stop();
    void hosts.stop();
    gateways.killAll();
    hosts.killAll();
  };
  const renewTls = config.listen.tls === undefined ? undefined : (): void => gateways.broadcast({ type: 'renew-tls' });
  const removeHandlers = onSignals(end, force, renewTls, systemClock);
  hosts.want(defaultKeyStore(config.defaultRegion));
  gateways.start();

  const cause = await ended;
  if (typeof cause === 'string') log.info(`${cause}: draining`);
  await drain(options, hosts, gateways, force, release);
  removeHandlers();
  if (cause instanceof Error) throw cause;
  log.info('stopped');
  return !forced.value;
}

/** Token hosts and gateways, each told what concerns it of the other. Nothing runs yet. `end` gets why the daemon cannot go on. */
function assemble(
  options: DaemonOptions,
  sockets: Sockets,
  end: (cause: Error) => void,
): { hosts: TokenHosts; gateways: Gateways } {
  const { config, entry, log } = options;
  const folder = runFolder(config.home);
  const first = defaultKeyStore(config.defaultRegion);
  // Once it serves, no token's fault ends the daemon: a caller may have chosen the moment.
  let announced = false;
  const hosts = new TokenHosts({
    keyStores: config.keyStores,
    runFolder: folder,
    entry,
    environment: options.environment,
    startDeadlineMs: config.deadlines.startMs,
    log,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    onReady(keyStore, token) {
      log.info(`token of ${keyStoreName(keyStore)} is up`, { ...token });
      gateways.broadcast({ type: 'token-ready', ...keyStore, callsInFlight: token.callsInFlight });
      if (isSameKeyStore(keyStore, first)) gateways.open();
    },
    onDown: (news) => gateways.broadcast(news),
    onTrouble: (keyStore, trouble) => gateways.broadcast({ type: 'token-trouble', ...keyStore, trouble }),
    isEssential: (keyStore) => isSameKeyStore(keyStore, first) && !announced,
    onFatal: end,
  });
  const gateways = new Gateways({
    config: gatewayConfig(config),
    sockets,
    runFolder: folder,
    fork: () => forkGateway(entry, folder),
    log,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    tokenNews: () => hosts.news(),
    onTokenWanted(keyStore, reply) {
      const news = hosts.want(keyStore);
      if (news !== undefined) reply(news);
    },
    onTokenOverrun(keyStore) {
      log.error(`the token of ${keyStoreName(keyStore)} did not answer within its deadline: ending its host`);
      hosts.kill(keyStore);
    },
    onAllReady(roots) {
      announced = true;
      try {
        announce(options, { sockets, roots, token: hosts.describe(first) });
      } catch (error) {
        end(error instanceof Error ? error : new Error(String(error)));
      }
    },
    onFatal: end,
  });
  return { hosts, gateways };
}

interface Announcement {
  readonly sockets: Sockets;
  readonly roots: readonly Credential[];
  readonly token: { readonly label: string; readonly serial: string } | undefined;
}

/** Everything is ready: credentials, then in development dev.env, then the banner. */
function announce({ config, log, print }: DaemonOptions, { sockets, roots, token }: Announcement): void {
  const { home, defaultRegion } = config;
  const { host, tls, socket } = config.listen;
  const port = sockets.get('endpoint')?.port ?? 0;
  const adminPort = sockets.get('admin')?.port ?? 0;
  const place = { host, port, tls, adminPort, region: defaultRegion };
  const [root] = roots;
  if (root === undefined) throw new Error('gateway 0 reported no root credentials');
  writeCredentials(home, config.mode, roots);
  if (config.mode === 'dev') {
    writeDevEnv(home, place, root);
    // The host may have died since: its token is the same when it is back.
    print(banner(home, place, token ?? { label: 'restarting', serial: 'unknown' }));
  }
  log.info('ready', {
    ...(sockets.has('endpoint') ? { port } : {}),
    ...(socket === undefined ? {} : { socket }),
    adminPort,
  });
}

/**
 * Gateways first, while tokens still answer their last requests. `force` is called when that takes too long, `release` when no gateway
 * is left: until then nobody else may answer in its name, and whoever calls meanwhile waits and is reset.
 */
async function drain(
  { config, log }: DaemonOptions,
  hosts: TokenHosts,
  gateways: Gateways,
  force: (why: string) => void,
  release: () => void,
): Promise<void> {
  const { drainMs } = config.deadlines;
  const cancelDeadline = systemTimers.after(drainMs, () => force(`not drained after ${drainMs} ms`));
  cleanUp(log, () => removeDevEnv(config.home));
  await gateways.stop();
  release();
  await hosts.stop();
  cancelDeadline();
  cleanUp(log, () => clearRunFolder(config.home));
}

/** A home that was taken away under the daemon must not keep it from ending. */
function cleanUp(log: Log, action: () => void): void {
  try {
    action();
  } catch (error) {
    log.warn(`cannot clean up: ${String(error)}`);
  }
}

function gatewayConfig(config: DaemonConfig): GatewaysOptions['config'] {
  const keyStores = config.keyStores.map(({ region, keyStore, tokenHost: { socketPath } }) => ({
    region,
    keyStore,
    socketPath,
  }));
  return { ...config, keyStores, listeners: listenersOf(config) };
}
