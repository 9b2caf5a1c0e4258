// Making, listing and destroying keys in the token. A key that is not as asked is destroyed before anybody can use it, and the
// daemon's own keys are neither listed nor destroyed.
import type { TokenKind } from '../../model/token-key.js';
import { daemonKeys, isDaemonKey } from '../../ports/token.js';
import { RequestFault } from './fault.js';
import { kinds } from './kinds.js';
import type { KeyIndex } from './object-index.js';
import type { ObjectHandle, TokenSession } from './session.js';
import { generationTemplate } from './template.js';

const keyLabel = 'hsm-bridge';

export class KeyObjects {
  readonly #session: TokenSession;
  readonly #index: KeyIndex;

  constructor(session: TokenSession, index: KeyIndex) {
    this.#session = session;
    this.#index = index;
  }

  /** RequestFault `internal` when the index knows the `ckaId`; the token is not searched for it. */
  generate(ckaId: Buffer, kind: TokenKind): void {
    if (isDaemonKey(ckaId)) throw new RequestFault('internal', 'the CKA_ID is the daemon’s own');
    if (this.#index.has(ckaId)) throw new RequestFault('internal', 'the CKA_ID is in use');
    this.#index.add(ckaId, this.#generate(kind, ckaId, keyLabel));
  }

  /** A key that is not in the index is searched for: a wrong "no" would make a key be forgotten. */
  holds(ckaId: Buffer): boolean {
    if (isDaemonKey(ckaId)) return false;
    return this.#index.has(ckaId) || this.isInToken(ckaId);
  }

  /** Whatever the index has: the token is searched. */
  isInToken(ckaId: Buffer): boolean {
    return this.#session.findObjects(ckaId).length > 0;
  }

  /** Everything that has one of these CKA_IDs. */
  find(ckaIds: readonly Buffer[]): ObjectHandle[] {
    if (ckaIds.some(isDaemonKey)) throw new RequestFault('internal', 'the daemon’s own keys are not destroyed');
    return ckaIds.flatMap((ckaId) => this.#session.findObjects(ckaId));
  }

  destroy(ckaIds: readonly Buffer[], objects: readonly ObjectHandle[]): void {
    for (const ckaId of ckaIds) this.#index.drop(ckaId);
    for (const object of objects) this.#session.destroy(object);
  }

  /** The daemon's own keys are left out, and the page is full nevertheless when there are more. */
  page(after: Buffer | undefined, limit: number): Buffer[] {
    const own = Object.keys(daemonKeys).length;
    return this.#index
      .page(after, limit + own)
      .filter((ckaId) => !isDaemonKey(ckaId))
      .slice(0, limit);
  }

  /**
   * Makes the two keys of the daemon. The row-seal key comes last, so a token with only the other one was left by an interrupted
   * creation, which is finished. RequestFault `daemonKeysExist` in every other case but an empty one.
   */
  createDaemonKeys(): void {
    const secrets = this.#session.findObjects(daemonKeys.secrets);
    if (this.#session.findObjects(daemonKeys.rowSeal).length > 0 || secrets.length > 1) {
      throw new RequestFault('daemonKeysExist', 'the token already holds the daemon’s own keys');
    }
    if (secrets[0] === undefined) {
      this.#index.add(daemonKeys.secrets, this.#generate('AES_256', daemonKeys.secrets, 'hsm-bridge secrets'));
    }
    if (secrets[0] !== undefined && this.#session.mismatchesOf(kinds.AES_256, secrets[0]).length > 0) {
      throw new RequestFault('internal', 'the key for secrets in the token is not of the daemon’s making');
    }
    this.#index.add(daemonKeys.rowSeal, this.#generate('HMAC_256', daemonKeys.rowSeal, 'hsm-bridge row seal'));
  }

  #generate(kind: TokenKind, ckaId: Buffer, label: string): ObjectHandle {
    const { library, handle } = this.#session;
    const row = kinds[kind];
    const key = library.C_GenerateKey(handle, row.generation, generationTemplate(row, { ckaId, label }));
    const wrong = this.#session.mismatchesOf(row, key);
    if (wrong.length === 0) return key;
    this.#session.destroy(key);
    throw new RequestFault('nothingMade', `the token made a key whose ${wrong.join(', ')} is not as asked`);
  }
}
