// The token host: the one process that loads the vendor's library and knows the PIN. It is configured over its parent's channel, never
// by arguments; it makes one login in its life; it ends when its parent does, and when it can no longer trust its token.
import type { FromTokenHost, ToTokenHost, TokenHostConfig } from '../../config/processes.js';
import { systemClock } from '../../kernel/clock.js';
import { systemRandom } from '../../kernel/random.js';
import { systemTimers } from '../../kernel/timers.js';
import { ignoreTerminalSignals } from '../../kernel/terminal-signals.js';
import { isDefault } from '../../model/key-store.js';
import type { TokenInfo } from '../../model/token-key.js';
import { ckrName, meaningOf } from './ckr.js';
import { StartFault, TokenLost } from './fault.js';
import { login } from './login.js';
import { finalize, findToken, loadModule, requireMechanisms, type LoadedModule } from './module.js';
import { ObjectIndex } from './object-index.js';
import { Performer } from './performer.js';
import { selfTest } from './probe.js';
import { loadProfile, type Profile } from './profile.js';
import { provision } from './provision.js';
import { Router } from './router.js';
import { TokenServer } from './server.js';
import { TokenSession } from './session.js';
import { createTroubles } from './trouble.js';

/** How the process ends. After `lost` a new one may find the token sound; after `fatal` it has said why it never will. */
export const hostExitCodes = { stopped: 0, fatal: 3, lost: 75 } as const;

/** How long answers given before the end may take to leave. */
const graceMs = 200;
/** How long a host that has calls hanging waits for the others. */
const retireMs = 5000;
const settleLookMs = 10;

const troubles = createTroubles((trouble) => send({ type: 'trouble', trouble }), systemTimers);

/** Waits for `configure` and serves until `stop`, or until the parent is gone. For a process started with a channel to its parent. */
export function runTokenHost(): void {
  process.umask(0o077);
  let running: Running | undefined;
  ignoreTerminalSignals();
  process.on('disconnect', () => process.exit(hostExitCodes.stopped));
  process.on('message', (message: ToTokenHost) => {
    if (message.type === 'configure') void start(message.config).then((started) => (running = started), fail);
    else void stop(running);
  });
}

interface Running {
  readonly module: LoadedModule;
  readonly server: TokenServer;
  readonly router: Router;
}

async function start(config: TokenHostConfig): Promise<Running> {
  const { module, profile, session, info } = openToken(config);
  const { modulePath, socketPath } = config;
  const [clock, timers] = [systemClock, systemTimers];
  const index = new ObjectIndex(session, clock);
  const performer = new Performer({
    session,
    profile,
    info,
    index,
    clock,
    onTrouble: troubles.report,
    onForget: (ckaId) => router.forget(ckaId),
    onAbsent: (ckaId) => router.saidAbsent(ckaId),
  });
  const router: Router = new Router({
    performer,
    index,
    profile,
    thread: { profile, modulePath, token: session.token, info },
    clock,
    timers,
    troubles,
    answer: (from, id, status, payload) => server.answer(from, id, status, payload),
    onLost: (why) => server.lose(why),
    onHung: () => void retire({ module, server, router }),
  });
  const server: TokenServer = new TokenServer({
    socketPath,
    clock,
    timers,
    perform: (id, op, payload, out, from) => router.perform(id, op, payload, out, from),
    endTurn: () => performer.endTurn(),
    readIndex: () => router.readIndex(),
    onLeave: (from) => router.leave(from),
    onLost(why) {
      troubles.report(why, 'token');
      troubles.flush();
      void settled({ module, server, router }).then(() => end(router, hostExitCodes.lost));
    },
  });
  await router.start();
  await server.listen();
  send({ type: 'ready', token: info });
  return { module, server, router };
}

interface OpenToken {
  readonly module: LoadedModule;
  readonly profile: Profile;
  readonly session: TokenSession;
  readonly info: TokenInfo;
}

/** From a profile to a logged-in session on a token that passed its self-test: all synchronous, all of it before the first request. */
function openToken(config: TokenHostConfig): OpenToken {
  const profile = loadProfile(config.profilePath);
  const module = loadModule(profile, config.modulePath);
  if (config.provision !== undefined) {
    provision(module, { ...config, soPinFile: config.provision.soPinFile }, profile, systemRandom);
  }
  const chosen = findToken(module, config.tokenLabel, profile.tokenSelector.serial);
  if (chosen === undefined) {
    const message = `no token is labelled ${config.tokenLabel}: initialise it, or correct the label`;
    throw new StartFault('token-missing', message);
  }
  requireMechanisms(module, chosen.slot);
  const session = new TokenSession(module.pkcs11, chosen);
  const { pinFile, notesFolder } = config;
  const region = isDefault(config) ? config.region : undefined;
  const ours = config.provision !== undefined;
  login(module.pkcs11, session.handle, chosen, { as: 'user', pinFile, notesFolder, region, ours }, profile);
  const algorithms = selfTest(session, profile);
  const callsInFlight = profile.callsInFlight.value;
  return { module, profile, session, info: { label: chosen.label, serial: chosen.serial, algorithms, callsInFlight } };
}

async function stop(running: Running | undefined): Promise<void> {
  if (running === undefined) process.exit(hostExitCodes.stopped);
  const { module, router } = running;
  await settled(running);
  // A library that is left while threads are in it may take the process down.
  if (!router.isBusy && !router.hangs) finalize(module);
  end(router, hostExitCodes.stopped);
}

/**
 * Calls hang, and only the end of the process ends them. Those that do not are waited for, and nothing more is read: what gateways have not
 * sent goes to the next host.
 */
async function retire(running: Running): Promise<void> {
  const { server, router } = running;
  router.close();
  server.pause();
  const endMs = systemClock.monotonicMs() + retireMs;
  while (router.isBusy && systemClock.monotonicMs() < endMs) await systemTimers.sleep(settleLookMs);
  troubles.flush();
  await settled(running);
  end(router, hostExitCodes.lost);
}

/** Answers given so far have left, and threads are out of the library, or `graceMs` have gone by. */
async function settled({ server, router }: Running): Promise<void> {
  router.close();
  await server.close(graceMs);
  const endMs = systemClock.monotonicMs() + graceMs;
  while (router.isBusy && systemClock.monotonicMs() < endMs) await systemTimers.sleep(settleLookMs);
}

/** An orderly end waits for each thread: one that hangs in the library would keep the process. */
function end(router: Router, code: number): void {
  if (router.isBusy || router.hangs) process.kill(process.pid, 'SIGKILL');
  else process.exit(code);
}

function fail(error: unknown): void {
  const fault = startFaultOf(error);
  if (fault === undefined) {
    troubles.report(error, 'token');
    process.disconnect();
    process.exit(hostExitCodes.lost);
  }
  send({ type: 'fatal', code: fault.code, message: fault.message }, () => process.exit(hostExitCodes.fatal));
}

/** Undefined for a token that is lost or suspect, which a new process may find sound. */
function startFaultOf(error: unknown): StartFault | undefined {
  if (error instanceof StartFault) return error;
  if (error instanceof TokenLost || meaningOf(error).lost === 'token') return undefined;
  const name = ckrName(error) ?? 'no return value';
  // A token may hold the sessions of a host that was killed for a while.
  if (name === 'CKR_SESSION_COUNT') return undefined;
  return new StartFault('configuration', `the token refused a call of the start (${name})`, { cause: error });
}

function send(message: FromTokenHost, sent: () => void = () => undefined): void {
  if (process.send === undefined) throw new Error('the token host is started by its supervisor only');
  process.send(message, undefined, undefined, sent);
}
