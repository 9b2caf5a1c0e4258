// AES-256-GCM, HMAC-SHA-256 and random bytes in the token. An IV comes from the token's generator and is used for one encryption, also
// when that fails (NIST SP 800-38D §8.2.2); an output is only taken in the length it must have.
import { RequestFault, TokenLost } from './fault.js';
import { ckrName, meaningOf } from './ckr.js';
import { gcmMechanism, hmacSha256, inputOf, ivBytes, tagBytes, type GcmMechanism } from './mechanism.js';
import type { Profile } from './profile.js';
import type { ObjectHandle, TokenSession } from './session.js';

const ivsPerDraw = 512;
export const macBytes = 32;
/** What sealing adds: IV and tag. */
export const sealBytes = ivBytes + tagBytes;

export class Cipher {
  readonly #session: TokenSession;
  readonly #gcm: GcmMechanism;
  /** Return values of C_Decrypt that this vendor uses for a tag that does not match, beside PKCS#11's own. */
  readonly #tagMismatches: ReadonlySet<string>;
  readonly #ivs = Buffer.alloc(ivsPerDraw * ivBytes);
  #nextIv = this.#ivs.length;

  constructor(session: TokenSession, profile: Profile) {
    this.#session = session;
    this.#gcm = gcmMechanism(profile.gcm.parameters);
    this.#tagMismatches = new Set(profile.tagMismatches.map(({ returns }) => returns));
  }

  /** Writes IV ‖ ciphertext ‖ tag to `out`, which has plaintext.length + sealBytes bytes. */
  seal(key: ObjectHandle, aad: Buffer, plaintext: Buffer, out: Buffer): void {
    const iv = this.#drawIv();
    iv.copy(out);
    this.sealUnder(key, iv, aad, plaintext, out.subarray(ivBytes));
  }

  /** Writes ciphertext ‖ tag. Only for known answers is the IV not this class's own. */
  sealUnder(key: ObjectHandle, iv: Buffer, aad: Buffer, plaintext: Buffer, out: Buffer): void {
    const { library, handle } = this.#session;
    library.C_EncryptInit(handle, this.#gcm(iv, aad), key);
    const sealed = library.C_Encrypt(handle, inputOf(plaintext), out);
    requireLength(sealed, plaintext.length + tagBytes);
  }

  /** Opens IV ‖ ciphertext ‖ tag into `out` (as long as `sealed`) and returns the plaintext's length. RequestFault `invalidCiphertext`. */
  open(key: ObjectHandle, aad: Buffer, sealed: Buffer, out: Buffer): number {
    const plaintextBytes = sealed.length - sealBytes;
    if (plaintextBytes < 0) throw invalidCiphertext();
    const { library, handle } = this.#session;
    library.C_DecryptInit(handle, this.#gcm(sealed.subarray(0, ivBytes), aad), key);
    let opened: Buffer;
    try {
      opened = library.C_Decrypt(handle, sealed.subarray(ivBytes), out);
    } catch (error) {
      if (meaningOf(error).hears === 'InvalidCiphertextException') throw invalidCiphertext();
      // A vendor's value for it may mean worse things too: it is only believed while the token is otherwise well.
      if (this.#tagMismatches.has(ckrName(error) ?? '') && this.#session.isLoggedIn()) throw invalidCiphertext();
      throw error;
    }
    requireLength(opened, plaintextBytes);
    return plaintextBytes;
  }

  /** HMAC-SHA-256 into `out`, which has 32 bytes. */
  mac(key: ObjectHandle, data: Buffer, out: Buffer): void {
    const { library, handle } = this.#session;
    library.C_SignInit(handle, hmacSha256, key);
    requireLength(library.C_Sign(handle, inputOf(data), out), macBytes);
  }

  /** Fills `out` from the token's generator. */
  random(out: Buffer): void {
    this.#session.library.C_GenerateRandom(this.#session.handle, out);
  }

  /** Valid until the next draw. */
  #drawIv(): Buffer {
    if (this.#nextIv === this.#ivs.length) {
      this.random(this.#ivs);
      this.#nextIv = 0;
    }
    const at = this.#nextIv;
    this.#nextIv = at + ivBytes;
    return this.#ivs.subarray(at, at + ivBytes);
  }
}

function requireLength(output: Buffer, bytes: number): void {
  if (output.length !== bytes) throw new TokenLost('the token answered with an output of another length');
}

const invalidCiphertext = (): RequestFault => new RequestFault('invalidCiphertext', 'the tag does not match');
