// Where the endpoint's socket in the file system may be made: in a folder that nobody else can change or exchange, under a name that no
// living program and nothing but a socket has.
import { lstatSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { FatalError } from './fatal.js';
import { isOurs, requireSafeWay } from './private-files.js';

/** sockaddr_un has room for no more. */
const mostBytes = 107;

/**
 * Why a socket cannot be made at `path`; undefined: it can, in the place of one that a dead program left. `note` is told what an operator
 * should know about the way to it.
 */
export async function pathProblem(path: string, note: (line: string) => void): Promise<FatalError | undefined> {
  const wrong = (message: string): FatalError => new FatalError('configuration', message);
  if (Buffer.byteLength(path) > mostBytes) return wrong(`the socket's path ${path} is longer than ${mostBytes} bytes`);
  const folder = dirname(path);
  const place = statSync(folder, { throwIfNoEntry: false });
  if (place?.isDirectory() !== true) return wrong(`there is no folder ${folder} for the endpoint's socket: make it`);
  const isTrusted = place.uid === 0 || isOurs(place);
  if (!isTrusted || (place.mode & 0o022) !== 0)
    return wrong(
      `others could put a socket of their own into ${folder}: make it this user's, and type chmod go-w ${folder}`,
    );
  try {
    for (const line of requireSafeWay(path)) note(line);
  } catch (error) {
    if (error instanceof FatalError) return error;
    throw error;
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if (!found.isSocket()) return wrong(`${path} is no socket: move it away, or choose another path`);
  if (await isAnswered(path)) return new FatalError('port-in-use', `the socket ${path} is in use: stop what uses it`);
  return undefined;
}

/** False only where the kernel says that nobody listens any more. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED'));
  });
}
