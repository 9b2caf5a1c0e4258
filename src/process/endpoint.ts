// The addresses opened where the supervisor has bound them: a port, in clear or behind TLS, or a socket in the file system. Several may lead into
// one server, with its limits.
import { createServer } from 'node:net';
import type { Listener, TlsFiles } from '../config/listener.js';
import type { Clock } from '../kernel/clock.js';
import type { DrainableServer } from '../kernel/drainable-server.js';
import type { Addresses, HandshakeRules } from '../ports/facade.js';
import { FatalError } from './fatal.js';
import type { Log } from './log.js';
import { listenOn } from './ports.js';
import { TlsDoor } from './tls-door.js';
import { certificateProblem, readTlsPair, type TlsPair } from './tls-files.js';

export class BoundAddresses implements Addresses {
  readonly #listeners: readonly Listener[];
  readonly #sockets: ReadonlyMap<string, unknown>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #doors: { readonly door: TlsDoor; readonly tls: TlsFiles }[] = [];

  /** `sockets`: bound, of the supervisor's, by their listeners' names. */
  constructor(listeners: readonly Listener[], sockets: ReadonlyMap<string, unknown>, clock: Clock, log: Log) {
    this.#clock = clock;
    this.#listeners = listeners;
    this.#sockets = sockets;
    this.#log = log;
  }

  has(name: string): boolean {
    return this.#sockets.has(name);
  }

  async open(server: DrainableServer, name: string, handshakes: HandshakeRules | undefined): Promise<void> {
    const socket = this.#sockets.get(name);
    const listener = this.#listeners.find((candidate) => candidate.name === name);
    if (socket === undefined || listener === undefined) return;
    const { at, tls } = listener;
    if ('path' in at) {
      // As node:http has it: who has said all may still listen.
      const local = createServer({ allowHalfOpen: true });
      server.admit(local, 'connection');
      await listenOn(local, socket, `${name} socket`);
    } else if (tls === undefined || handshakes === undefined) await listenOn(server, socket, `${name} port`);
    else {
      const door = new TlsDoor(readJudged(tls, this.#clock, this.#log), handshakes);
      this.#doors.push({ door, tls });
      server.admit(door, 'secureConnection');
      await listenOn(door, socket, `${name} port`);
    }
  }

  /** Reads the TLS files again and says so in one line. What was served before is served on where they are no good. */
  renewTls(): void {
    for (const { door, tls } of this.#doors) renew(door, tls, this.#clock, this.#log);
  }
}

function renew(door: TlsDoor, tls: TlsFiles, clock: Clock, log: Log): void {
  try {
    door.renew(readJudged(tls, clock, log));
    log.info('the TLS certificate was read again');
  } catch (error) {
    if (!(error instanceof FatalError)) throw error;
    log.error(`${error.message}: the old certificate is served on`);
  }
}

/** A pair that fits is served, though clients may refuse it: their clocks may be better than ours. */
function readJudged(tls: TlsFiles, clock: Clock, log: Log): TlsPair {
  const pair = readTlsPair(tls);
  const problem = certificateProblem(pair, clock.now());
  if (problem !== undefined) log.warn(`clients will refuse the TLS certificate ${tls.certificate}: ${problem}`);
  return pair;
}
