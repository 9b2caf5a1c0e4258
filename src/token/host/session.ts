// One logged-in session on one token, and the calls made in it, synchronously. The session may be replaced; the login may not: the last
// session of a process takes the login with it, so a new one is opened before the old one is closed, unless the token is at its cap.
import pkcs11 from 'pkcs11js';
import { ckrName, saysAbsent } from './ckr.js';
import { named, type Cryptoki } from './cryptoki.js';
import { TokenLost } from './fault.js';
import type { ChosenToken } from './module.js';
import type { Kind } from './kinds.js';
import { pause } from './pause.js';
import {
  copyTemplate,
  identityQuery,
  idQuery,
  idSearch,
  isOfKind,
  mismatches,
  objectSearch,
  protectionQuery,
  valueQuery,
} from './template.js';

export type ObjectHandle = Buffer;

/** CKS_RW_USER_FUNCTIONS (PKCS#11 v2.40 §3.4): a read-write session whose user is logged in. */
const loggedInState = 3;
const sessionFlags = pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION;
const findBatch = 256;

export class TokenSession {
  readonly library: Cryptoki;
  readonly token: ChosenToken;
  #handle: Buffer;

  /** Opens the first session; its maker logs in. */
  constructor(library: pkcs11.PKCS11, token: ChosenToken) {
    this.library = named(library);
    this.token = token;
    this.#handle = this.#open();
  }

  get handle(): Buffer {
    return this.#handle;
  }

  /** A fresh session: no operation is active in it. TokenLost when the token gives none, or gives one that is not logged in. */
  replace(): void {
    const old = this.#handle;
    try {
      this.#handle = this.#open();
      this.#close(old);
    } catch (error) {
      if (ckrName(error) !== 'CKR_SESSION_COUNT') throw opensNone(error);
      this.#close(old);
      this.#handle = this.#openInPlace();
    }
    if (!this.isLoggedIn()) throw new TokenLost('the login is lost');
  }

  /** Nothing is called in it any more. */
  close(): void {
    this.#close(this.#handle);
  }

  #open(): Buffer {
    return this.library.C_OpenSession(this.token.slot, sessionFlags);
  }

  /** The place that was given up may be another thread's for a moment, which does the same. */
  #openInPlace(): Buffer {
    for (let triesLeft = 20; ; triesLeft -= 1) {
      try {
        return this.#open();
      } catch (error) {
        if (triesLeft === 0 || ckrName(error) !== 'CKR_SESSION_COUNT') throw opensNone(error);
        pause(10);
      }
    }
  }

  #close(handle: Buffer): void {
    try {
      this.library.C_CloseSession(handle);
    } catch {
      // It was lost already: that is why it is replaced.
    }
  }

  isLoggedIn(): boolean {
    try {
      return this.library.C_GetSessionInfo(this.#handle).state === loggedInState;
    } catch {
      return false;
    }
  }

  /**
   * Asks the token for what needs no data of a caller's, in a session of its own, so that this one is left as it is; in this one where the
   * token opens no further one. TokenLost.
   */
  requireAnswers(): void {
    try {
      const other = this.#openFurther();
      try {
        const asked = other ?? this.#handle;
        if (this.library.C_GetSessionInfo(asked).state !== loggedInState) throw new TokenLost('the login is lost');
        this.library.C_GenerateRandom(asked, Buffer.alloc(1));
      } finally {
        if (other !== undefined) this.library.C_CloseSession(other);
      }
    } catch (error) {
      if (error instanceof TokenLost) throw error;
      throw new TokenLost('the token does not answer', { cause: error });
    }
  }

  /** Undefined when the token has as many as it takes. */
  #openFurther(): Buffer | undefined {
    try {
      return this.#open();
    } catch (error) {
      if (ckrName(error) === 'CKR_SESSION_COUNT') return undefined;
      throw error;
    }
  }

  /** Every object the template matches. Takes time in proportion to the objects in the token. */
  find(search: pkcs11.Template): ObjectHandle[] {
    this.library.C_FindObjectsInit(this.#handle, search);
    const found: ObjectHandle[] = [];
    for (;;) {
      const batch = this.library.C_FindObjects(this.#handle, findBatch);
      found.push(...batch);
      if (batch.length < findBatch) break;
    }
    this.library.C_FindObjectsFinal(this.#handle);
    return found;
  }

  /** Token objects of whatever kind: all, or those with this CKA_ID. */
  findObjects(ckaId?: Buffer): ObjectHandle[] {
    return this.find(ckaId === undefined ? objectSearch() : idSearch(ckaId));
  }

  ckaIdOf(object: ObjectHandle): Buffer {
    return this.library.C_GetAttributeValue(this.#handle, object, idQuery())[0]?.value ?? Buffer.alloc(0);
  }

  /** Is this a key of this kind with this CKA_ID? No for what is gone, or has no such attributes. */
  isKey(object: ObjectHandle, kind: Kind, ckaId: Buffer): boolean {
    try {
      const read = this.library.C_GetAttributeValue(this.#handle, object, identityQuery());
      return read[0]?.value.equals(ckaId) === true && isOfKind(kind, read);
    } catch (error) {
      if (saysAbsent(error)) return false;
      throw error;
    }
  }

  /** The names of the object's attributes that are not as the daemon makes its keys. */
  mismatchesOf(kind: Kind, key: ObjectHandle): string[] {
    return mismatches(kind, this.library.C_GetAttributeValue(this.#handle, key, protectionQuery(kind)));
  }

  valueOf(object: ObjectHandle): Buffer {
    return this.library.C_GetAttributeValue(this.#handle, object, valueQuery())[0]?.value ?? Buffer.alloc(0);
  }

  /** A session object with the same value and protection, gone with this session. */
  copy(key: ObjectHandle): ObjectHandle {
    return this.library.C_CopyObject(this.#handle, key, copyTemplate());
  }

  destroy(object: ObjectHandle): void {
    this.library.C_DestroyObject(this.#handle, object);
  }
}

const opensNone = (cause: unknown): TokenLost => new TokenLost('the token opens no session', { cause });
