// What is noted of a login, in the daemon's home: the PIN file may lie where nobody can write. A note is about one content of the PIN
// file, of which it holds no trace, and one token, whichever Region they serve; it is on disk before the token is asked, and goes only
// when the login is known to have cost nothing. Of two hosts that want the same login, the one whose note is first makes it.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createDurably, readUnfollowed, removeDurably, writeDurably } from '../../kernel/durable-file.js';
import { identityOf, lives } from '../../kernel/process-identity.js';
import { StartFault } from './fault.js';

/**
 * Which content of the PIN file is tried, without a trace of the content itself. Not the number of its device: that changes from boot
 * to boot and from mount to mount, and a note must outlive those.
 */
export interface FileIdentity {
  readonly ino: string;
  readonly mtimeNs: string;
  readonly size: string;
}

/** One PIN for one token. */
export interface Attempt {
  readonly as: 'user' | 'security-officer';
  /** The token's. */
  readonly serial: string;
  readonly pinFile: string;
  readonly file: FileIdentity;
}

/** `begun`: nobody knows how it ended. */
export type LoginState = 'begun' | 'refused';

export interface Note {
  readonly path: string;
  readonly state: LoginState;
  /** The process that began the login lives: it is about to know. */
  readonly underWay: boolean;
}

/** What a note's file holds. An early version wrote neither token nor file: such a note is about the file's identity with any token. */
interface Written extends FileIdentity {
  readonly state: LoginState;
  readonly serial?: string;
  readonly pinFile?: string;
  readonly by?: string;
}

/** What is noted of this attempt; a note about another content is about a PIN that nobody will try. */
export function findNote(folder: string, attempt: Attempt): Note | undefined {
  const { file, serial } = attempt;
  const notes = readNotes(folder, attempt.as)
    .filter(
      ({ written }) =>
        (['ino', 'mtimeNs', 'size'] as const).every((name) => written[name] === file[name]) &&
        (written.serial === undefined || written.serial === serial),
    )
    .map(({ path, written }) => ({ path, state: written.state, underWay: isUnderWay(written) }));
  return notes.find(({ state }) => state === 'refused') ?? notes[0];
}

/** Where this attempt is noted. */
export function notePath(folder: string, { as, serial, file }: Attempt): string {
  const digest = createHash('sha256').update([serial, file.ino, file.mtimeNs, file.size].join('\0')).digest('hex');
  return join(folder, `${digest.slice(0, 16)}${suffixOf(as)}`);
}

/** False when the attempt is noted already. StartFault `home-unwritable` when the disk does not take it: then no login may follow. */
export function noteBegun(folder: string, attempt: Attempt): boolean {
  const path = notePath(folder, attempt);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return createDurably(path, textOf(attempt, 'begun'));
  } catch (error) {
    const message = `a login cannot be noted in ${path} (${codeOf(error)}): make its folder writable; none is tried without`;
    throw new StartFault('home-unwritable', message, { cause: error });
  }
}

/** Throws Node's error when the disk does not take it. */
export function noteRefused(folder: string, attempt: Attempt): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeDurably(notePath(folder, attempt), textOf(attempt, 'refused'));
}

/** StartFault `home-unwritable` when it stays: it would stop the next start. */
export function dropNote(folder: string, attempt: Attempt): void {
  remove([notePath(folder, attempt)]);
}

/**
 * After a login that succeeded: removes its note, and those about what the same file held before for the same token; `region`: an early
 * version's note of that Region, too. StartFault `home-unwritable` when one stays.
 */
export function forgetNotes(folder: string, attempt: Attempt, region: string | undefined): void {
  const own = notePath(folder, attempt);
  const early = region === undefined ? undefined : join(folder, `${region}${suffixOf(attempt.as)}`);
  const done = readNotes(folder, attempt.as).filter(({ path, written }) => {
    if (path === own || path === early) return true;
    return written.serial === attempt.serial && written.pinFile === attempt.pinFile && !isUnderWay(written);
  });
  remove(done.map(({ path }) => path));
}

const suffixOf = (as: Attempt['as']): string => (as === 'user' ? '.login' : '.so-login');

/** One of this very process is over: it makes one login at a time. */
const isUnderWay = ({ state, by }: Written): boolean =>
  state === 'begun' && by !== undefined && by !== identityOf(process.pid) && lives(by);

const textOf = ({ serial, pinFile, file: { ino, mtimeNs, size } }: Attempt, state: LoginState): string =>
  JSON.stringify({ state, serial, pinFile, ino, mtimeNs, size, by: identityOf(process.pid) });

function readNotes(folder: string, as: Attempt['as']): { path: string; written: Written }[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw unreadable(folder, error);
  }
  return names
    .filter((name) => name.endsWith(suffixOf(as)))
    .flatMap((name) => {
      const path = join(folder, name);
      const written = readNote(path);
      return written === undefined ? [] : [{ path, written }];
    });
}

/** Undefined for one that has gone meanwhile, and for what is no note. */
function readNote(path: string): Written | undefined {
  let text: string | undefined;
  try {
    text = readUnfollowed(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  if (text === undefined) return undefined;
  try {
    const parsed = JSON.parse(text) as Written | null;
    return parsed?.state === 'begun' || parsed?.state === 'refused' ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function remove(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      removeDurably(path);
    } catch (error) {
      const message = `${path} cannot be removed (${codeOf(error)}): make its folder writable, and delete it`;
      throw new StartFault('home-unwritable', message, { cause: error });
    }
  }
}

const unreadable = (path: string, error: unknown): StartFault =>
  new StartFault('home-unwritable', `${path} cannot be read (${codeOf(error)}): no login is tried`, { cause: error });

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);
