// A socket that the supervisor binds and holds for its whole life, without ever accepting from it: gateways listen on copies of it. While
// it is held and has been listened on nobody else can have the address, and between two gateways connections wait in the kernel's queue.
import type { SendHandle } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { chmodSync, rmSync } from 'node:fs';
import net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { FatalError } from './fatal.js';
import { pathProblem } from './socket-path.js';

export interface HeldSocket {
  /** For `child.send`. */
  readonly handle: SendHandle;
  /** The port it has; undefined for one in the file system. */
  readonly port: number | undefined;
  /** The kernel frees the address when the last process that listens on it has closed its copy too. */
  release(): void;
}

/** Node's own type for a bound socket that no event loop looks at; it is what node:cluster's primary holds. */
interface BoundHandle {
  /** Zero, or the negative number of an error, also one that the kernel had for `bind` already. */
  getsockname?(into: { port?: number }): number;
  close(): void;
}
type CreateHandle = (address: string, port: number, family: 4 | 6 | -1) => BoundHandle | number;

/** `node:net` exports it for node:cluster and does not document it. What is documented can only bind and accept at once. */
const { _createServerHandle: create } = net as unknown as { readonly _createServerHandle: CreateHandle };

/**
 * Binds `port` of `host` (0: a free one). It refuses connections until the first gateway listens on it. `setting` names what to change.
 * Throws FatalError.
 */
export async function holdPort(host: string, port: number, setting: string): Promise<HeldSocket> {
  const place = await lookup(host).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    throw new FatalError('configuration', `cannot listen on ${host} (${code ?? String(error)})`);
  });
  const handle = create(place.address, port, place.family === 6 ? 6 : 4);
  if (typeof handle === 'number') throw refused(handle, host, port, setting);
  const bound: { port?: number } = {};
  const error = handle.getsockname?.(bound) ?? 0;
  if (error !== 0) {
    handle.close();
    throw refused(error, host, port, setting);
  }
  return { handle: handle as unknown as SendHandle, port: bound.port, release: () => handle.close() };
}

/**
 * The same in the file system, in the place of a socket that a dead daemon left. `release` removes it. `note`: as for `pathProblem`.
 * Throws FatalError.
 */
export async function holdPath(path: string, mode: number, note: (line: string) => void): Promise<HeldSocket> {
  const problem = await pathProblem(path, note);
  if (problem !== undefined) throw problem;
  rmSync(path, { force: true });
  const handle = create(path, -1, -1);
  if (typeof handle === 'number')
    throw new FatalError('configuration', `cannot make the socket ${path} (${getSystemErrorName(handle)})`);
  // Nobody can connect before a gateway listens.
  chmodSync(path, mode);
  return { handle: handle as unknown as SendHandle, port: undefined, release: () => handle.close() };
}

function refused(error: number, host: string, port: number, setting: string): FatalError {
  const code = getSystemErrorName(error);
  return code === 'EADDRINUSE'
    ? new FatalError('port-in-use', portInUse(port, setting))
    : new FatalError('configuration', `cannot listen on ${host} port ${port} (${code})`);
}

const portInUse = (port: number, setting: string): string =>
  `port ${port} is in use: stop what uses it, or set ${setting} to another (0: any free one)`;
