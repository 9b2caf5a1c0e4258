// Object handles by CKA_ID, looked up once. They live as long as this process: a module that is initialised anew gives the same numbers
// to other keys, so a host is started anew instead. A key is only handed out when the token confirms that it cannot leave.
import { RequestFault } from './fault.js';
import type { ObjectHandle, TokenSession } from './session.js';
import type { KeyKind } from './template.js';

const maxHandles = 65_536;

export class KeyHandles {
  readonly #session: TokenSession;
  readonly #kind: KeyKind;
  readonly #handles = new Map<string, ObjectHandle>();

  constructor(session: TokenSession, kind: KeyKind) {
    this.#session = session;
    this.#kind = kind;
  }

  /** RequestFault `keyUnavailable` when there is no such key; `internal` when there are two, or one that could leave the token. */
  of(ckaId: Buffer): ObjectHandle {
    const name = ckaId.toString('latin1');
    const known = this.#handles.get(name);
    if (known !== undefined) return known;
    const [key, second] = this.#session.findKeys(this.#kind, ckaId);
    if (key === undefined) throw new RequestFault('keyUnavailable', 'no such key in the token');
    if (second !== undefined) throw new RequestFault('internal', 'two keys in the token have this CKA_ID');
    const wrong = this.#session.mismatchesOf(this.#kind, key);
    if (wrong.length > 0) throw new RequestFault('internal', `not a key of the daemon's making: ${wrong.join(', ')}`);
    this.#remember(name, key);
    return key;
  }

  has(ckaId: Buffer): boolean {
    return this.#handles.has(ckaId.toString('latin1'));
  }

  forget(ckaId: Buffer): void {
    this.#handles.delete(ckaId.toString('latin1'));
  }

  forgetAll(): void {
    this.#handles.clear();
  }

  #remember(name: string, key: ObjectHandle): void {
    if (this.#handles.size >= maxHandles) {
      const oldest = this.#handles.keys().next();
      if (oldest.done !== true) this.#handles.delete(oldest.value);
    }
    this.#handles.set(name, key);
  }
}
