// The supervisor: starts the daemon's processes in order, starts again what dies, and ends them in order. It serves nothing, loads no
// PKCS#11 and sees no PIN. When it returns, no process and no dev.env is left.
import type { DaemonConfig } from '../config/daemon.js';
import type { RootCredentials } from '../config/processes.js';
import { banner } from './banner.js';
import { removeDevEnv, writeCredentials, writeDevEnv } from './dev-files.js';
import { type ChildEntry, gatewayForker } from './entry.js';
import { Gateways, type GatewaysOptions } from './gateways.js';
import { clearRunFolder, prepareHome, runFolder, secureHome, secureRunFolder } from './home.js';
import { lockHome } from './lock.js';
import type { Log } from './log.js';
import { awaitOrphans } from './orphans.js';
import { choosePorts } from './ports.js';
import { onStopSignals } from './shutdown.js';
import { TokenHosts } from './token-hosts.js';

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly entry: ChildEntry;
  /** The environment of token hosts, before their Region's own settings. */
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Log;
  /** Writes to the user's terminal: the banner. */
  readonly print: (text: string) => void;
}

/** Runs the daemon until it is stopped. True: everything drained in time. Throws FatalError when it cannot run. */
export async function runDaemon(options: DaemonOptions): Promise<boolean> {
  const { home } = options.config;
  for (const note of prepareHome(options.config)) if (options.config.mode === 'serve') options.log.warn(note);
  const lock = await lockHome(home);
  try {
    secureRunFolder(home);
    // What a killed predecessor left: a file that says "ready", sockets, perhaps processes.
    removeDevEnv(home);
    const killed = await awaitOrphans(runFolder(home));
    if (killed > 0) options.log.warn(`ended ${killed} process(es) that an earlier daemon left behind`);
    clearRunFolder(home);
    secureHome(home);
    return await superviseAll(options);
  } finally {
    await lock.release();
  }
}

async function superviseAll(options: DaemonOptions): Promise<boolean> {
  const { config, log } = options;
  const ports = await choosePorts({
    endpoint: { host: config.host, port: config.port },
    admin: { host: '127.0.0.1', port: config.adminPort },
  });
  // A signal's name, or why the daemon cannot go on; the first one counts.
  let end: (cause: string | Error) => void = () => undefined;
  const ended = new Promise<string | Error>((resolve) => {
    end = resolve;
  });
  const { hosts, gateways } = assemble(options, ports, (cause) => end(cause));

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
  const removeHandlers = onStopSignals(end, force);
  hosts.want(config.defaultRegion);
  gateways.start();

  const cause = await ended;
  if (typeof cause === 'string') log.info(`${cause}: draining`);
  await drain(options, hosts, gateways, force);
  removeHandlers();
  if (cause instanceof Error) throw cause;
  log.info('stopped');
  return !forced.value;
}

interface ChosenPorts {
  readonly endpoint: number;
  readonly admin: number;
}

/** Token hosts and gateways, each told what concerns it of the other. Nothing runs yet. `end` gets why the daemon cannot go on. */
function assemble(
  options: DaemonOptions,
  ports: ChosenPorts,
  end: (cause: Error) => void,
): { hosts: TokenHosts; gateways: Gateways } {
  const { config, entry, log } = options;
  const folder = runFolder(config.home);
  // Once it serves, no token's fault ends the daemon: a caller may have chosen the moment.
  let announced = false;
  const hosts = new TokenHosts({
    regions: config.regions,
    runFolder: folder,
    entry,
    environment: options.environment,
    startDeadlineMs: config.startDeadlineMs,
    log,
    onReady(region, token) {
      log.info(`token of ${region} is up`, { label: token.label, serial: token.serial });
      gateways.broadcast({ type: 'token-ready', region });
      if (region === config.defaultRegion) gateways.open();
    },
    onDown: (news) => gateways.broadcast(news),
    isEssential: (region) => region === config.defaultRegion && !announced,
    onFatal: end,
  });
  const gateways = new Gateways({
    count: config.gateways,
    config: gatewayConfig(config, ports),
    runFolder: folder,
    fork: gatewayForker(entry, folder),
    log,
    tokenNews: () => hosts.news(),
    onTokenWanted(region, reply) {
      const news = hosts.want(region);
      if (news !== undefined) reply(news);
    },
    onTokenOverrun(region) {
      log.error(`the token of ${region} did not answer within its deadline: ending its host`);
      hosts.kill(region);
    },
    onAllReady(roots) {
      announced = true;
      try {
        announce(options, { ...ports, roots, token: hosts.describe(config.defaultRegion) });
      } catch (error) {
        end(error instanceof Error ? error : new Error(String(error)));
      }
    },
    onFatal: end,
  });
  return { hosts, gateways };
}

interface Announcement extends ChosenPorts {
  readonly roots: readonly RootCredentials[];
  readonly token: { readonly label: string; readonly serial: string } | undefined;
}

/** Everything is ready: credentials, then in development dev.env, then the banner. */
function announce({ config, log, print }: DaemonOptions, { endpoint, admin, roots, token }: Announcement): void {
  const { home, host, defaultRegion } = config;
  const place = { host, port: endpoint, adminPort: admin, region: defaultRegion };
  const [root] = roots;
  if (root === undefined) throw new Error('gateway 0 reported no root credentials');
  writeCredentials(home, config.mode, roots);
  if (config.mode === 'dev') {
    writeDevEnv(home, place, root);
    // The host may have died since: its token is the same when it is back.
    print(banner(home, place, token ?? { label: 'restarting', serial: 'unknown' }));
  }
  log.info('ready', { port: endpoint, adminPort: admin });
}

/** Gateways first, while tokens still answer their last requests. `force` is called when that takes too long. */
async function drain(
  { config, log }: DaemonOptions,
  hosts: TokenHosts,
  gateways: Gateways,
  force: (why: string) => void,
): Promise<void> {
  const deadline = setTimeout(() => force(`not drained after ${config.drainDeadlineMs} ms`), config.drainDeadlineMs);
  cleanUp(log, () => removeDevEnv(config.home));
  await gateways.stop();
  await hosts.stop();
  clearTimeout(deadline);
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

function gatewayConfig(config: DaemonConfig, { endpoint, admin }: ChosenPorts): GatewaysOptions['config'] {
  return {
    home: config.home,
    host: config.host,
    port: endpoint,
    adminPort: admin,
    defaultRegion: config.defaultRegion,
    regions: config.regions.map(({ region, tokenHost }) => ({ region, socketPath: tokenHost.socketPath })),
    accounts: config.accounts,
    tokenDeadlineMs: config.tokenDeadlineMs,
    limits: config.limits,
    log: { style: config.mode === 'dev' ? 'text' : 'json', level: config.logLevel },
  };
}
