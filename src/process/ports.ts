// Ports: free ones where the configuration says 0, chosen once by the supervisor, so that every gateway, and one that starts again, has the
// same; and what listening on one comes to.
import { type AddressInfo, createServer, type Server } from 'node:net';
import { FatalError } from './fatal.js';

/** Replaces each port 0 by a free one; other ports are left to the gateway, which says when one is in use. */
export async function choosePorts<T extends Readonly<Record<string, { host: string; port: number }>>>(
  wanted: T,
): Promise<Record<keyof T, number>> {
  const probes: Server[] = [];
  const chosen: [string, number][] = [];
  try {
    for (const [name, { host, port }] of Object.entries(wanted)) {
      if (port !== 0) {
        chosen.push([name, port]);
        continue;
      }
      const probe = await probeOn(host);
      probes.push(probe);
      chosen.push([name, (probe.address() as AddressInfo).port]);
    }
  } finally {
    await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))));
  }
  return Object.fromEntries(chosen) as Record<keyof T, number>;
}

/** Whether this port can be listened on now; the error code when not. */
export async function portProblem(host: string, port: number): Promise<string | undefined> {
  try {
    const probe = await probeOn(host, port);
    await new Promise((resolve) => probe.close(resolve));
    return undefined;
  } catch (error) {
    return error instanceof FatalError ? error.message : String(error);
  }
}

/** `setting` names what to change. Throws FatalError. */
export function listen(server: Server, host: string, port: number, setting: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const inUse = error.code === 'EADDRINUSE';
      const message = inUse
        ? `port ${port} is in use: stop what uses it, or set ${setting} to another (0: any free one)`
        : error.message;
      reject(new FatalError(inUse ? 'port-in-use' : 'configuration', message));
    });
    server.listen(port, host, resolve);
  });
}

function probeOn(host: string, port = 0): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new FatalError('configuration', `cannot listen on ${host} port ${port} (${error.code ?? error.message})`)),
    );
    server.listen({ host, port, exclusive: true }, () => resolve(server));
  });
}
