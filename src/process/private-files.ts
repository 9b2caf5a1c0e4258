// Files and folders that are this user's alone. What somebody else made, or could still change, is refused and left as it is; no link is
// followed; what is ours and open to others is closed, through a descriptor of the very thing that was looked at.
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  type Stats,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { FatalError } from './fatal.js';

/** What a walk has to know of the place it is in. */
export interface Place {
  /** Names of symbolic links that are texts under a name, which nobody follows. */
  readonly marks?: RegExp;
  /** Listening sockets lie here. */
  readonly sockets?: boolean;
}

/**
 * Makes `path` when it is missing, and its missing parents; it then is a folder of ours with mode 0700. Throws FatalError home-unsafe when it
 * cannot be, Node's error when the file system refuses.
 */
export function ownFolder(path: string): void {
  makeWay(path);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
  const stats = requireOurs(path, lstatSync(path));
  if (!stats.isDirectory()) throw unsafe(path, 'is no folder: move it away');
  correctMode(path, constants.O_DIRECTORY, 0o700);
}

/**
 * Looks at every folder on the way to `path`, which is there, as it is named and as it is when links are resolved: what somebody other than
 * root and us may change. Throws FatalError home-unsafe when every user may.
 */
export function requireSafeWay(path: string): readonly string[] {
  const way = new Set([...upwards(realpathSync(dirname(path))), ...upwards(dirname(path))]);
  const notes: string[] = [];
  for (const folder of way) {
    const { mode, uid } = statSync(folder);
    if ((mode & 0o1002) === 0o002) {
      const what = `may be changed by every user, who could put another folder in the place of ${path}`;
      throw unsafe(folder, `${what}: chmod o-w ${folder}`);
    }
    if ((mode & 0o1020) === 0o020) notes.push(`its group may change ${folder}, and with it what ${path} is`);
    if (uid !== 0 && uid !== self()) notes.push(`user ${uid} may change ${folder}, and with it what ${path} is`);
  }
  return notes;
}

/** Makes the missing parents of `path`. */
export function makeWay(path: string): void {
  if (!existsSync(dirname(path))) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
}

function upwards(path: string): readonly string[] {
  return path === dirname(path) ? [path] : [path, ...upwards(dirname(path))];
}

/** Everything below a folder of ours. Drafts that a crash left are removed. Throws as `ownFolder`. */
export function ownTree(folder: string, place: Place = {}, placeOf: (name: string) => Place = () => place): void {
  ownFolder(folder);
  // Drafts first: one may be a second name of what it was to become.
  const names = readdirSync(folder).sort((one, other) => Number(isDraft(other)) - Number(isDraft(one)));
  for (const name of names) {
    const path = join(folder, name);
    if (isFolder(path)) ownTree(path, placeOf(name));
    else ownEntry(path, place);
  }
}

/** A file under this name is ours, mode 0600, with no other name; or there is none. Throws as `ownFolder`. */
export function ownEntry(path: string, { marks, sockets = false }: Place = {}): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (isDraft(path)) {
    rmSync(path);
    return;
  }
  const stats = requireOurs(path, found, marks);
  if (stats.isSymbolicLink() || (sockets && stats.isSocket())) return;
  if (!stats.isFile()) throw unsafe(path, 'is no regular file: move it away');
  if (stats.nlink > 1)
    throw unsafe(
      path,
      'has another name somewhere (a hard link), under which it can be reached: copy it and put the copy here',
    );
  correctMode(path, constants.O_NONBLOCK, 0o600);
}

const isDraft = (name: string): boolean => name.endsWith('.draft');

/** The user that all files of ours have. */
const self = (): number => process.geteuid?.() ?? -1;

/** Belongs to the user who runs this. */
export const isOurs = ({ uid }: { readonly uid: number }): boolean => uid === self();

const isFolder = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

function requireOurs(path: string, stats: Stats, marks?: RegExp): Stats {
  if (stats.isSymbolicLink() && marks?.test(basename(path)) !== true) {
    throw unsafe(path, 'is a symbolic link, and none is followed: remove it, or name the folder itself');
  }
  if (!isOurs(stats)) {
    throw unsafe(
      path,
      `belongs to user ${stats.uid}, not to user ${self()}, who runs this: run it as its owner, or chown it if you trust what is in it`,
    );
  }
  return stats;
}

/** Of what was looked at: a thing that took its place meanwhile is refused. */
function correctMode(path: string, flags: number, mode: number): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | flags);
  try {
    const stats = requireOurs(path, fstatSync(descriptor));
    if ((stats.mode & 0o777) === mode) return;
    // A file may have less; a folder needs all three.
    if (stats.isFile() && (stats.mode & 0o077) === 0) return;
    fchmodSync(descriptor, mode);
  } finally {
    closeSync(descriptor);
  }
}

const unsafe = (path: string, what: string): FatalError => new FatalError('home-unsafe', `${path} ${what}`);

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
