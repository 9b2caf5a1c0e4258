// The home folder: all that the daemon writes, for its user's eyes alone. It belongs to the user who runs the daemon, with every folder
// and file in it that the daemon uses; folders have mode 0700, files 0600, and no link is followed. Once the home is closed, nobody else
// can put anything into it, so that one look at what lies there holds for the daemon's life.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DaemonConfig, KeyStoreConfig } from '../config/daemon.js';
import { readUnfollowed, writeDurably } from '../kernel/durable-file.js';
import { FatalError } from './fatal.js';
import { makeWay, ownEntry, ownFolder, ownTree, requireSafeWay } from './private-files.js';

export const runFolder = (home: string): string => join(home, 'run');

/** Texts that the audit log keeps as names (docs/formats/audit-log.md). */
const laneMarks = /^[a-z]+-\d{12}$/;

/**
 * Makes the home, or sees that it is one. Returns what its operator should know about the way to it. Throws FatalError home-unsafe,
 * home-unwritable.
 */
export function prepareHome({ home }: DaemonConfig): readonly string[] {
  // Everything this process and its children create from here on is private.
  process.umask(0o077);
  return whenWritable(home, () => {
    makeWay(home);
    const notes = requireSafeWay(home);
    ownFolder(home);
    ownFolder(runFolder(home));
    return notes;
  });
}

/** Sees to what earlier processes left in `$home/run`, before any of it is believed. Throws as `prepareHome`. */
export function secureRunFolder(home: string): void {
  whenWritable(home, () => ownTree(runFolder(home), { sockets: true }));
}

/** Sees to all else that the daemon uses in a home that is prepared, locked and at rest. Throws as `prepareHome`. */
export function secureHome(home: string): void {
  whenWritable(home, () => {
    for (const name of readdirSync(home)) {
      const path = join(home, name);
      if (name === 'audit') ownTree(path, {}, () => ({ marks: laneMarks }));
      else if (name === 'store' || name === 'pins' || name === 'tokens') ownTree(path);
      else if (files.has(name)) ownEntry(path);
    }
  });
}

/** The daemon's own in the home itself. What else lies there, such as a configuration, is its operator's. */
const files: ReadonlySet<string> = new Set(
  ['dev.env', 'credentials', 'clock'].flatMap((name) => [name, `${name}.draft`]),
);

/** Development mode: writes a token's SoftHSM configuration from the project's template, so that the system's is never read. */
export function prepareSofthsm({ softhsm }: KeyStoreConfig): void {
  if (softhsm === undefined) return;
  const { folder, templatePath } = softhsm;
  const objects = join(folder, 'objects');
  whenWritable(folder, () => {
    for (const each of [dirname(folder), folder, objects]) ownFolder(each);
    const path = join(folder, 'softhsm2.conf');
    const text = readFileSync(templatePath, 'utf8').replace('@TOKENS@', () => objects);
    // A full disk must not keep a host from being started again.
    if (readOwn(path) !== text) writeDurably(path, text);
  });
}

/** Removes what only a running daemon has. Errors are the caller's to judge: at shutdown nothing more can be done. */
export function clearRunFolder(home: string): void {
  for (const name of readdirSync(runFolder(home))) {
    if (name.endsWith('.sock') || name.endsWith('.child')) rmSync(join(runFolder(home), name), { force: true });
  }
}

/** Runs `write`; turns the file system's refusal into one line that says what to do. */
export function whenWritable<T>(path: string, write: () => T): T {
  try {
    return write();
  } catch (error) {
    if (error instanceof FatalError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const remedy =
      code === 'ENOSPC' || code === 'EDQUOT'
        ? 'the disk is full: free some space'
        : `${code ?? String(error)}: make it writable for this user, or choose another home`;
    throw new FatalError('home-unwritable', `cannot write to ${path}: ${remedy}`);
  }
}

/** Undefined when there is none, or something else under its name. */
function readOwn(path: string): string | undefined {
  try {
    return readUnfollowed(path);
  } catch {
    return undefined;
  }
}
