// One daemon per home: a name in the kernel's abstract socket namespace (Linux), which the kernel frees when the holder dies, however
// it dies. No file is left behind and none can be stale.
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import { FatalError } from './fatal.js';

export interface HomeLock {
  release(): Promise<void>;
}

/** Locks an existing home folder. Throws FatalError home-in-use when another daemon holds it. */
export async function lockHome(home: string): Promise<HomeLock> {
  const lock = await tryLockHome(home);
  if (lock === undefined) {
    throw new FatalError(
      'home-in-use',
      `another hsm-bridge runs on ${home}: stop it, or give this one another home (HSM_BRIDGE_HOME, or home: in the file)`,
    );
  }
  return lock;
}

/** Undefined when another daemon holds it. */
export async function tryLockHome(home: string): Promise<HomeLock | undefined> {
  const digest = createHash('sha256').update(realpathSync(home)).digest('hex');
  const server = createServer((socket) => socket.destroy());
  const held = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen(`\0hsm-bridge-home-${digest}`, () => resolve(true));
  });
  if (!held) return undefined;
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}
