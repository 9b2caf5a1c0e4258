// A small file that is there whole or not at all, also after a power cut; readable by its owner alone. What lies under the name is
// replaced or refused, never followed.
import {
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** Replaces `path`. Throws Node's error when the disk does not take it; then `path` is as it was, or already as it should be. */
export function writeDurably(path: string, text: string): void {
  const draft = `${path}.draft`;
  writeDraft(draft, text);
  renameSync(draft, path);
  syncFolderOf(path);
}

/** Puts `text` under a name that is free. False when it is taken: of two processes one gets it. Throws Node's error. */
export function createDurably(path: string, text: string): boolean {
  // Another process may draft for the same name.
  const draft = `${path}.${process.pid}.draft`;
  try {
    writeDraft(draft, text);
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  syncFolderOf(path);
  return true;
}

/** Its text; undefined when there is none. Throws Node's error, ELOOP for a link; a pipe in its place is empty and keeps nobody waiting. */
export function readUnfollowed(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

/** Removes `path`, when it is there, so that no power cut brings it back. */
export function removeDurably(path: string): void {
  rmSync(path, { force: true });
  syncFolderOf(path);
}

function writeDraft(draft: string, text: string): void {
  // One that a crash left may be somebody's with another mode.
  rmSync(draft, { force: true });
  const file = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncFolderOf(path: string): void {
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
