// `hsm-bridge doctor`: looks for the commonest set-up mistakes and says what to type. It changes nothing, logs in nowhere, and may be run
// beside a running daemon.
import { accessSync, constants, existsSync, lstatSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigurationError, type DaemonConfig, type KeyStoreConfig } from '../config/daemon.js';
import { packageRoot, tokenHostEnvironment } from '../config/load.js';
import { listenersOf } from '../config/schema.js';
import { systemClock } from '../kernel/clock.js';
import { keyStoreName, type KeyStoreRef } from '../model/key-store.js';
import { runFolder } from '../process/home.js';
import { tryLockHome } from '../process/lock.js';
import { FatalError } from '../process/fatal.js';
import { isOurs } from '../process/private-files.js';
import { portProblem } from '../process/ports.js';
import { pathProblem } from '../process/socket-path.js';
import { certificateProblem, readTlsPair } from '../process/tls-files.js';
import { bindingProblem, probeModule, probeProfile, type Surroundings } from './probe-token.js';

export interface Finding {
  readonly subject: string;
  /** What is wrong and what to type; undefined: nothing. */
  readonly problem?: string;
  readonly note?: string;
}

const setUp = `type ${join(packageRoot, 'scripts/setup')}`;

/** `load` reads the configuration and throws ConfigurationError when it is wrong. */
export async function diagnose(load: () => Promise<DaemonConfig>): Promise<readonly Finding[]> {
  const findings: Finding[] = [nodeFinding(), await bindingFinding()];
  let config: DaemonConfig;
  try {
    config = await load();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return [...findings, { subject: 'configuration', problem: `${error.message}: see docs/configuration.md` }];
  }
  const running = await isRunning(config.home);
  findings.push(
    { subject: 'configuration', note: running ? ' (a daemon runs with it)' : '' },
    homeFinding(config.home),
  );
  const surroundings = surroundingsOf(config);
  for (const keyStore of config.keyStores) findings.push(...(await keyStoreFindings(keyStore, surroundings)));
  findings.push(...tlsFindings(config));
  if (!running) findings.push(...(await addressFindings(config)));
  return findings;
}

function nodeFinding(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const subject = `Node.js ${process.versions.node}`;
  if (major > 20 || (major === 20 && minor >= 19)) return { subject };
  return { subject, problem: 'version 20.19 or newer is needed: install it from https://nodejs.org' };
}

async function bindingFinding(): Promise<Finding> {
  const problem = await bindingProblem();
  if (problem === undefined) return { subject: 'pkcs11js' };
  return {
    subject: 'pkcs11js',
    problem: `its native part does not load (${problem}): ${setUp}, or npm rebuild pkcs11js`,
  };
}

function homeFinding(home: string): Finding {
  const subject = `home ${home}`;
  const stats = lstatSync(home, { throwIfNoEntry: false });
  if (stats === undefined) {
    const parent = nearestExisting(home);
    return writable(parent)
      ? { subject, note: ' (made at the first start)' }
      : { subject, problem: `it cannot be made, ${parent} is not writable: type mkdir -p ${home}, as a user who may` };
  }
  const { mode, uid } = stats;
  if (stats.isSymbolicLink())
    return { subject, problem: 'it is a symbolic link, and none is followed: name the folder itself' };
  if (!stats.isDirectory()) return { subject, problem: 'it is no folder: name another home' };
  if (!isOurs(stats))
    return { subject, problem: `it belongs to user ${uid}: run the daemon as that user, or name another home` };
  if (!writable(home))
    return { subject, problem: `it is not writable: type chown -R ${process.getuid?.() ?? ''} ${home}` };
  if ((mode & 0o077) !== 0) return { subject, problem: `others may look into it: type chmod 700 ${home}` };
  return { subject };
}

async function keyStoreFindings(config: KeyStoreConfig, shared: Surroundings): Promise<Finding[]> {
  const { tokenHost } = config;
  const pin = pinFinding(config);
  const subject = `module of ${keyStoreName(config)}`;
  const surroundings = { ...shared, environment: { ...shared.environment, ...config.environment } };
  const places = await probeProfile(tokenHost.profilePath, surroundings);
  if ('problem' in places) {
    return [{ subject, problem: `${oneLine(places.problem)}: correct ${settingOf(config)}.profile` }, pin];
  }
  const paths = tokenHost.modulePath === undefined ? places.paths : [tokenHost.modulePath];
  const modulePath = paths.find((path) => existsSync(path));
  if (modulePath === undefined) {
    const remedy = config.softhsm === undefined ? `set ${settingOf(config)}.modulePath` : setUp;
    return [{ subject, problem: `there is none at ${paths.join(', ')}: ${remedy}` }, pin];
  }
  const token = await tokenFinding(config, modulePath, () => probeModule(modulePath, places.initString, surroundings));
  return [{ subject, note: ` (${modulePath})` }, token, pin];
}

async function tokenFinding(
  config: KeyStoreConfig,
  modulePath: string,
  ask: () => ReturnType<typeof probeModule>,
): Promise<Finding> {
  const { tokenHost, environment, softhsm } = config;
  const subject = `token of ${keyStoreName(config)}`;
  // Development mode makes a Region's token, and SoftHSM's configuration before it, when the Region is first used.
  if (softhsm !== undefined && !existsSync(environment['SOFTHSM2_CONF'] ?? '')) {
    return { subject, note: ' (made when it is first used)' };
  }
  const probe = await ask();
  if ('problem' in probe) return { subject, problem: `${modulePath} does not work: ${probe.problem}` };
  if (probe.labels.includes(tokenHost.tokenLabel)) return { subject, note: ` (${tokenHost.tokenLabel})` };
  if (softhsm !== undefined) return { subject, note: ' (made when it is first used)' };
  const seen = probe.labels.length === 0 ? 'no initialised token' : `tokens ${probe.labels.join(', ')}`;
  return {
    subject,
    problem:
      `the module has ${seen}, none labelled "${tokenHost.tokenLabel}": correct ${settingOf(config)}.label, or initialise one ` +
      `(pkcs11-tool --module ${modulePath} --init-token --label "${tokenHost.tokenLabel}", then --init-pin)`,
  };
}

/** Where the file says what it is. */
const settingOf = ({ region, keyStore }: KeyStoreRef): string =>
  keyStore === undefined ? `regions.${region}` : `regions.${region}.keyStores (${keyStore})`;

/** As near to what a token host will have as can be had without making anything. */
function surroundingsOf({ mode, home }: DaemonConfig): Surroundings {
  return { environment: tokenHostEnvironment(mode), cwd: nearestExisting(runFolder(home)) };
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ');

function pinFinding({ tokenHost, softhsm, ...keyStore }: KeyStoreConfig): Finding {
  const subject = `PIN file of ${keyStoreName(keyStore)}`;
  const { pinFile } = tokenHost;
  if (!existsSync(pinFile)) {
    if (softhsm !== undefined) return { subject, note: ' (made with the token)' };
    return {
      subject,
      problem: `there is no ${pinFile}: write the user PIN into it (umask 077; read -rs PIN; echo "$PIN" >…)`,
    };
  }
  const { mode, size } = statSync(pinFile);
  if ((mode & 0o077) !== 0) return { subject, problem: `others may read it: type chmod 600 ${pinFile}` };
  if (size === 0) return { subject, problem: `${pinFile} is empty: write the user PIN into it` };
  return { subject };
}

async function addressFindings(config: DaemonConfig): Promise<Finding[]> {
  return Promise.all(
    listenersOf(config).map(async ({ name, at, setting }): Promise<Finding> => {
      if ('path' in at) {
        const subject = `socket ${at.path}`;
        const problem = await pathProblem(at.path, () => undefined);
        return problem === undefined ? { subject } : { subject, problem: problem.message };
      }
      const subject = `${name === 'endpoint' ? 'port' : `${name} port`} ${at.port}`;
      const problem = await portProblem(at.host, at.port);
      if (problem === undefined) return { subject };
      return { subject, problem: `${problem}: free it or choose another (${setting.serve} / ${setting.dev})` };
    }),
  );
}

function tlsFindings({ listen: { tls } }: DaemonConfig): Finding[] {
  if (tls === undefined) return [];
  const subject = `TLS certificate ${tls.certificate}`;
  try {
    const problem = certificateProblem(readTlsPair(tls), systemClock.now());
    return [problem === undefined ? { subject } : { subject, problem: `${problem}: put a new one there` }];
  } catch (error) {
    if (!(error instanceof FatalError)) throw error;
    return [{ subject, problem: error.message }];
  }
}

async function isRunning(home: string): Promise<boolean> {
  if (!existsSync(home)) return false;
  const lock = await tryLockHome(home);
  await lock?.release();
  return lock === undefined;
}

function nearestExisting(path: string): string {
  return existsSync(path) ? path : nearestExisting(dirname(path));
}

function writable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
