// Object handles by CKA_ID, looked up once. They live as long as this process: a module that is initialised anew gives the same numbers
// to other keys, so a host is started anew instead. A key is only handed out when the token confirms that it cannot leave.
import type { MonotonicClock } from '../../kernel/clock.js';
import { meaningOf } from './ckr.js';
import { RequestFault } from './fault.js';
import { firstUsesPerTurn, nextTurn, NotReadYet, type ObjectIndex } from './object-index.js';
import type { ObjectHandle, TokenSession } from './session.js';
import type { KeyKind } from './template.js';

/** A session copy takes the library some kilobytes. */
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
  readonly kind: KeyKind;
  /** Operate on session copies, for modules that read a token object anew for each call. */
  readonly copies: boolean;
  readonly clock: MonotonicClock;
  /** Undefined: each key is searched for when it is first used. */
  readonly index: ObjectIndex | undefined;
}

export class KeyHandles {
  readonly #options: KeyHandlesOptions;
  readonly #entries = new Map<string, Entry>();
  #firstUses = 0;

  constructor(options: KeyHandlesOptions) {
    this.#options = options;
  }

  /** RequestFault `keyUnavailable` when there is no such key; `internal` when there are two, or one that could leave the token. */
  of(ckaId: Buffer): ObjectHandle {
    const { copies, clock, session } = this.#options;
    const name = ckaId.toString('latin1');
    try {
      const entry = this.#entries.get(name) ?? this.#load(name, ckaId);
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
      if (meaningOf(error).lost === 'handle') this.#options.index?.drop(ckaId);
      throw error;
    }
  }

  /** Lets further keys be used for the first time. */
  endTurn(): void {
    this.#firstUses = 0;
  }

  /** After this a copy of the key is gone, too. */
  forget(ckaId: Buffer): void {
    this.#drop(ckaId.toString('latin1'));
  }

  /** For when the session was replaced, which took the copies with it. */
  forgetAll(): void {
    this.#entries.clear();
  }

  #load(name: string, ckaId: Buffer): Entry {
    const { copies, clock, index, kind, session } = this.#options;
    if (index !== undefined && this.#firstUses >= firstUsesPerTurn) throw new NotReadYet(nextTurn);
    const [original, second] = index?.find(ckaId) ?? session.findKeys(kind, ckaId);
    this.#firstUses += 1;
    if (original === undefined) throw new RequestFault('keyUnavailable', 'no such key in the token');
    if (second !== undefined) throw new RequestFault('internal', 'two keys in the token have this CKA_ID');
    // A library may give the number of an object that is gone to another one.
    if (!session.ckaIdOf(original).equals(ckaId)) {
      index?.drop(ckaId);
      throw new RequestFault('keyUnavailable', 'the key is no longer where it was');
    }
    this.#requireProtected(original);
    const used = copies ? session.copy(original) : original;
    if (copies) this.#requireProtected(used);
    const entry = { original, used, checkedAtMs: clock.monotonicMs() };
    const oldest = this.#entries.size >= maxHandles ? this.#entries.keys().next().value : undefined;
    if (oldest !== undefined) this.#drop(oldest);
    this.#entries.set(name, entry);
    return entry;
  }

  #requireProtected(key: ObjectHandle): void {
    const wrong = this.#options.session.mismatchesOf(this.#options.kind, key);
    if (wrong.length > 0) throw new RequestFault('internal', `not a key of the daemon's making: ${wrong.join(', ')}`);
  }

  #drop(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    if (this.#options.copies) this.#options.session.destroy(entry.used);
  }
}
