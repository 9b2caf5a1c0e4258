// What is noted of a login, in the daemon's home: the PIN file may lie where nobody can write. A note is about one content of the PIN
// file, of which it holds no trace; it is on disk before the token is asked, and goes only when the login is known to have cost nothing.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { removeDurably, writeDurably } from '../../kernel/durable-file.js';
import { StartFault } from './fault.js';

/** `begun`: nobody knows how it ended. */
export type LoginState = 'begun' | 'refused';

/** Which content of the PIN file was tried, without a trace of the content itself. */
export interface FileIdentity {
  readonly ino: string;
  readonly mtimeNs: string;
  readonly size: string;
}

/** What is noted of this content; a note about another one is about a PIN that nobody will try. */
export function readNote(path: string, identity: FileIdentity): LoginState | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new StartFault('home-unwritable', `${path} cannot be read (${codeOf(error)}): no login is tried`, {
      cause: error,
    });
  }
  return (['begun', 'refused'] as const).find((state) => text === textOf(state, identity));
}

/** StartFault `home-unwritable` when the disk does not take it: then no login may follow. */
export function writeNote(path: string, state: LoginState, identity: FileIdentity): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeDurably(path, textOf(state, identity));
  } catch (error) {
    // What may be there of it is about a login that is not going to be made.
    if (state === 'begun') attempt(() => removeDurably(path));
    const message = `a login cannot be noted in ${path} (${codeOf(error)}): make its folder writable; none is tried without`;
    throw new StartFault('home-unwritable', message, { cause: error });
  }
}

/** StartFault `home-unwritable` when it stays: it would stop the next start. */
export function removeNote(path: string): void {
  if (!existsSync(path)) return;
  try {
    removeDurably(path);
  } catch (error) {
    const message = `${path} cannot be removed (${codeOf(error)}): make its folder writable, and delete it`;
    throw new StartFault('home-unwritable', message, { cause: error });
  }
}

function attempt(action: () => void): void {
  try {
    action();
  } catch {
    // The disk has said why already.
  }
}

const textOf = (state: LoginState, { ino, mtimeNs, size }: FileIdentity): string =>
  JSON.stringify({ state, ino, mtimeNs, size });

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);
