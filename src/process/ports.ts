// What listening comes to: on a socket that the supervisor holds, and, for `doctor`, on a port that may be somebody's.
import { createServer, type Server } from 'node:net';
import { FatalError } from './fatal.js';

/** Connections that wait for a gateway to accept them; the kernel takes no more than net.core.somaxconn. */
const backlog = 1024;

/** Listens on what the supervisor sent; `name` says which. Throws FatalError `port-in-use` when another was first to listen there. */
export function listenOn(server: Server, handle: unknown, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code === 'EADDRINUSE' ? 'port-in-use' : 'configuration';
      reject(new FatalError(code, `cannot listen on the ${name} (${error.code ?? error.message})`));
    });
    server.listen(handle, backlog, resolve);
  });
}

/** Whether this port can be listened on now; the error code when not. */
export function portProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) =>
      resolve(`cannot listen on ${host} port ${port} (${error.code ?? error.message})`),
    );
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}
