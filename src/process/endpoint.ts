// The endpoint opened where the supervisor has bound it: a port, in clear or behind TLS, and a socket in the file system. All lead into one
// server, with its limits.
import { createServer } from 'node:net';
import type { Listener, TlsFiles } from '../config/processes.js';
import type { DrainableServer } from '../kernel/drainable-server.js';
import { FatalError } from './fatal.js';
import type { Log } from './log.js';
import { listenOn } from './ports.js';
import { type HandshakeRules, TlsDoor } from './tls-door.js';
import { certificateProblem, readTlsPair, type TlsPair } from './tls-files.js';

export interface Endpoint {
  /** Reads the TLS files again and says so in one line. What was served before is served on where they are no good. */
  renewTls(): void;
}

/** `sockets`: bound, of the supervisor's. Throws FatalError. */
export async function openEndpoint(
  server: DrainableServer,
  sockets: ReadonlyMap<Listener, unknown>,
  tls: TlsFiles | undefined,
  handshakes: HandshakeRules,
  log: Log,
): Promise<Endpoint> {
  const port = sockets.get('endpoint');
  const path = sockets.get('unix');
  const door = tls === undefined ? undefined : new TlsDoor(readJudged(tls, log), handshakes);
  if (door !== undefined) server.admit(door, 'secureConnection');
  if (port !== undefined) await listenOn(door ?? server, port, 'endpoint');
  if (path !== undefined) {
    // As node:http has it: who has said all may still listen.
    const local = createServer({ allowHalfOpen: true });
    server.admit(local, 'connection');
    await listenOn(local, path, "endpoint's socket");
  }
  return {
    renewTls() {
      if (tls !== undefined && door !== undefined) renew(door, tls, log);
    },
  };
}

function renew(door: TlsDoor, tls: TlsFiles, log: Log): void {
  try {
    door.renew(readJudged(tls, log));
    log.info('the TLS certificate was read again');
  } catch (error) {
    if (!(error instanceof FatalError)) throw error;
    log.error(`${error.message}: the old certificate is served on`);
  }
}

/** A pair that fits is served, though clients may refuse it: their clocks may be better than ours. */
function readJudged(tls: TlsFiles, log: Log): TlsPair {
  const pair = readTlsPair(tls);
  const problem = certificateProblem(pair);
  if (problem !== undefined) log.warn(`clients will refuse the TLS certificate ${tls.certificate}: ${problem}`);
  return pair;
}
