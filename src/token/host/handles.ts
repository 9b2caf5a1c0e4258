// Object handles by CKA_ID, looked up once. They live as long as this process: a module that is initialised anew gives the same numbers
// to other keys, so a host is started anew instead. A key is only handed out when the token confirms that it cannot leave.
import type { MonotonicClock } from '../../kernel/clock.js';
import { tokenKinds, type TokenKind } from '../../model/token-key.js';
import { isDaemonKey } from '../../ports/token.js';
import { meaningOf } from './ckr.js';
import { RequestFault } from './fault.js';
import { forEachKind, kinds } from './kinds.js';
import { firstUsesPerTurn, nextTurn, NotReadYet, type KeyIndex } from './object-index.js';
import type { ObjectHandle, TokenSession } from './session.js';

/** Of each kind. A session copy takes the library some kilobytes. */
const maxHandles = 10_000;
/** How long a session copy may outlive its original, when somebody else destroys that. */
const copyTrustMs = 1000;

interface Entry {
  readonly original: ObjectHandle;
  /** What operations run on: the original, or a copy of it in the session. */
  readonly used: ObjectHandle;
  checkedAtMs: number;
}

export interface KeyHandlesOptions {
  readonly session: TokenSession;
  /** Operate on session copies, for modules that read a token object anew for each call. */
  readonly copies: boolean;
  readonly clock: MonotonicClock;
  readonly index: KeyIndex;
}

export class KeyHandles {
  readonly #options: KeyHandlesOptions;
  readonly #entries = forEachKind(() => new Map<string, Entry>());
  #firstUses = 0;

  constructor(options: KeyHandlesOptions) {
    this.#options = options;
  }

  /** RequestFault `keyUnavailable` when there is no such key of this kind; `internal` when there are two, or one that could leave the token. */
  of(kind: TokenKind, ckaId: Buffer): ObjectHandle {
    const { copies, clock, session } = this.#options;
    const name = ckaId.toString('latin1');
    try {
      const entry = this.#entries[kind].get(name) ?? this.#load(kind, name, ckaId);
      if (copies) {
        const nowMs = clock.monotonicMs();
        if (nowMs - entry.checkedAtMs > copyTrustMs) {
          // Fails with CKR_OBJECT_HANDLE_INVALID when the original is gone; every handle is then looked for again.
          session.ckaIdOf(entry.original);
          entry.checkedAtMs = nowMs;
        }
      }
      return entry.used;
    } catch (error) {
      if (meaningOf(error).lost === 'handle') this.#options.index.drop(ckaId);
      throw error;
    }
  }

  /** Lets further keys be used for the first time. */
  endTurn(): void {
    this.#firstUses = 0;
  }

  /** After this a copy of the key is gone, too. */
  forget(ckaId: Buffer): void {
    for (const kind of tokenKinds) this.#drop(kind, ckaId.toString('latin1'));
  }

  /** For when the session was replaced, which took the copies with it. */
  forgetAll(): void {
    for (const entries of Object.values(this.#entries)) entries.clear();
  }

  #load(kind: TokenKind, name: string, ckaId: Buffer): Entry {
    const { copies, clock, index, session } = this.#options;
    if (this.#firstUses >= firstUsesPerTurn) throw new NotReadYet(nextTurn);
    // A library may give the number of an object that is gone to another one: the token is asked what it is.
    const [original, second] = index.find(ckaId).filter((object) => session.isKey(object, kinds[kind], ckaId));
    this.#firstUses += 1;
    if (original === undefined) {
      throw new RequestFault(isDaemonKey(ckaId) ? 'daemonKeyMissing' : 'keyUnavailable', 'no such key in the token');
    }
    if (second !== undefined) throw new RequestFault('internal', 'two keys in the token have this CKA_ID');
    this.#requireProtected(kind, original);
    const used = copies ? session.copy(original) : original;
    if (copies) this.#requireProtected(kind, used);
    const entry = { original, used, checkedAtMs: clock.monotonicMs() };
    const entries = this.#entries[kind];
    const oldest = entries.size >= maxHandles ? entries.keys().next().value : undefined;
    if (oldest !== undefined) this.#drop(kind, oldest);
    entries.set(name, entry);
    return entry;
  }

  #requireProtected(kind: TokenKind, key: ObjectHandle): void {
    const wrong = this.#options.session.mismatchesOf(kinds[kind], key);
    if (wrong.length > 0) throw new RequestFault('internal', `not a key of the daemon's making: ${wrong.join(', ')}`);
  }

  #drop(kind: TokenKind, name: string): void {
    const entry = this.#entries[kind].get(name);
    if (entry === undefined) return;
    this.#entries[kind].delete(name);
    if (this.#options.copies) this.#options.session.destroy(entry.used);
  }
}
