// A small file that is there whole or not at all, also after a power cut; readable by its owner alone.
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Replaces `path`. Throws Node's error when the disk does not take it; then `path` is as it was, or already as it should be. */
export function writeDurably(path: string, text: string): void {
  const draft = `${path}.draft`;
  // One that a crash left may be somebody's with another mode.
  rmSync(draft, { force: true });
  const file = openSync(draft, 'wx', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
  syncFolderOf(path);
}

/** Removes `path`, when it is there, so that no power cut brings it back. */
export function removeDurably(path: string): void {
  rmSync(path, { force: true });
  syncFolderOf(path);
}

function syncFolderOf(path: string): void {
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
