// The home folder: all that the daemon writes, for its user's eyes alone (folders 0700, files 0600 by the umask).
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DaemonConfig, RegionConfig } from '../config/daemon.js';
import { FatalError } from './fatal.js';

export const runFolder = (home: string): string => join(home, 'run');

/** Makes what is missing and corrects modes. Throws FatalError home-unwritable. */
export function prepareHome(config: DaemonConfig): void {
  // Everything this process and its children create from here on is private.
  process.umask(0o077);
  whenWritable(config.home, () => {
    privateFolder(dirname(runFolder(config.home)));
    privateFolder(runFolder(config.home));
  });
}

/** Development mode: writes a Region's SoftHSM configuration from the project's template, so that the system's is never read. */
export function prepareSofthsm(region: RegionConfig): void {
  if (region.softhsm === undefined) return;
  const { folder, templatePath } = region.softhsm;
  const objects = join(folder, 'objects');
  whenWritable(folder, () => {
    privateFolder(dirname(folder));
    privateFolder(folder);
    privateFolder(objects);
    const text = readFileSync(templatePath, 'utf8').replace('@TOKENS@', () => objects);
    writeFileSync(join(folder, 'softhsm2.conf'), text, { mode: 0o600 });
  });
}

/** Removes what only a running daemon has. Errors are the caller's to judge: at shutdown nothing more can be done. */
export function clearRunFolder(home: string): void {
  for (const name of readdirSync(runFolder(home))) {
    if (name.endsWith('.sock') || name.endsWith('.child')) rmSync(join(runFolder(home), name), { force: true });
  }
}

/** Runs `write`; turns the file system's refusal into one line that says what to do. */
export function whenWritable(path: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const remedy =
      code === 'ENOSPC' || code === 'EDQUOT'
        ? 'the disk is full: free some space'
        : `${code ?? String(error)}: make it writable for this user, or choose another home`;
    throw new FatalError('home-unwritable', `cannot write to ${path}: ${remedy}`);
  }
}

function privateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
}
