// The index of keys as a thread has it: what the main thread has told of it. Anything else is asked for before a request does anything.
import type { KeyIndex } from './object-index.js';
import { nameOf } from './object-index.js';
import type { ObjectHandle, TokenSession } from './session.js';
import type { Hint, ThreadNews } from './thread-messages.js';

const maxHints = 10_000;

/** The request is performed again when the main thread has told the handles. */
export class AskIndex extends Error {
  readonly ckaId: Buffer;
  readonly search: boolean;

  constructor(ckaId: Buffer, search: boolean) {
    super('the index is asked');
    this.ckaId = ckaId;
    this.search = search;
  }
}

export class ThreadIndex implements KeyIndex {
  readonly #session: Pick<TokenSession, 'ckaIdOf'>;
  readonly #tell: (news: ThreadNews) => void;
  #one: ObjectHandle | undefined;
  readonly #hints = new Map<string, readonly ObjectHandle[]>();

  constructor(session: Pick<TokenSession, 'ckaIdOf'>, tell: (news: ThreadNews) => void) {
    this.#session = session;
    this.#tell = tell;
  }

  hint({ ckaId, handles, one }: Hint): void {
    this.#one = one === undefined ? undefined : Buffer.from(one, 'hex');
    if (this.#hints.size >= maxHints) this.#hints.clear();
    this.#hints.set(
      nameOf(Buffer.from(ckaId, 'hex')),
      handles.map((handle) => Buffer.from(handle, 'hex')),
    );
  }

  forget(ckaId: Buffer): void {
    // It may be this one that is gone; the next hint brings another.
    this.#one = undefined;
    this.#hints.delete(nameOf(ckaId));
  }

  find(ckaId: Buffer): readonly ObjectHandle[] {
    const known = this.#hints.get(nameOf(ckaId));
    if (known === undefined) throw new AskIndex(ckaId, true);
    // "None" is true for the request that asked; a key may be made the next moment.
    if (known.length === 0) this.forget(ckaId);
    return known;
  }

  has(ckaId: Buffer): boolean {
    const known = this.#hints.get(nameOf(ckaId));
    if (known === undefined) throw new AskIndex(ckaId, false);
    return known.length > 0;
  }

  add(ckaId: Buffer, handle: ObjectHandle): void {
    this.forget(ckaId);
    this.#tell({ type: 'made', ckaId: ckaId.toString('hex'), handle: handle.toString('hex') });
  }

  drop(ckaId: Buffer): void {
    this.forget(ckaId);
    this.#tell({ type: 'gone', ckaId: ckaId.toString('hex') });
  }

  isReachable(): boolean {
    if (this.#one === undefined) return true;
    try {
      this.#session.ckaIdOf(this.#one);
      return true;
    } catch {
      return false;
    }
  }

  recheck(): void {
    this.#hints.clear();
    this.#tell({ type: 'session-replaced' });
  }

  page(): never {
    throw new Error('the main thread lists keys');
  }
}
