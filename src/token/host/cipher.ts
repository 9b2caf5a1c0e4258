// AES-256-GCM, MACs and random bytes in the token. An IV is random, drawn when all that it will encrypt is here, and used for one
// encryption, also when that fails (NIST SP 800-38D §8.2.2); an output is only taken in the length it must have.
import { openSync, readSync } from 'node:fs';
import { RequestFault, TokenLost } from './fault.js';
import type { Mac } from './kinds.js';
import { gcmMechanism, inputOf, ivBytes, tagBytes, type GcmMechanism } from './mechanism.js';
import type { Profile } from './profile.js';
import type { ObjectHandle, TokenSession } from './session.js';

/** Most IVs of one draw. None outlives the turn it was drawn in. */
const ivsPerDraw = 32;
const mostRandomBytes = 2048;
/** The kernel draws anew when a machine is resumed from a snapshot and says so; a generator in this process knows nothing of it. */
const kernelGenerator = '/dev/urandom';
let kernelFile: number | undefined;
/** What sealing adds: IV and tag. */
export const sealBytes = ivBytes + tagBytes;

export class Cipher {
  readonly #session: TokenSession;
  readonly #gcm: GcmMechanism;
  readonly #mixed = Buffer.alloc(mostRandomBytes);
  readonly #ivs = Buffer.alloc(ivsPerDraw * ivBytes);
  #nextIv = 0;
  #drawnIvs = 0;

  constructor(session: TokenSession, profile: Profile) {
    this.#session = session;
    this.#gcm = gcmMechanism(profile.gcm.parameters);
  }

  /** Writes IV ‖ ciphertext ‖ tag to `out`, which has plaintext.length + sealBytes bytes. */
  seal(key: ObjectHandle, aad: Buffer, plaintext: Buffer, out: Buffer): void {
    const iv = this.#drawIv();
    iv.copy(out);
    this.sealUnder(key, iv, aad, plaintext, out.subarray(ivBytes));
  }

  /**
   * Fills `plaintext` with random bytes and seals them, as above. They come in one draw with their IV: a machine that is resumed twice from
   * within it has both again or neither.
   */
  sealRandom(key: ObjectHandle, aad: Buffer, plaintext: Buffer, out: Buffer): void {
    const drawn = Buffer.alloc(ivBytes + plaintext.length);
    try {
      this.random(drawn);
      drawn.copy(plaintext, 0, ivBytes);
      const iv = drawn.subarray(0, ivBytes);
      iv.copy(out);
      this.sealUnder(key, iv, aad, plaintext, out.subarray(ivBytes));
    } finally {
      drawn.fill(0);
    }
  }

  /** Forgets the IVs that were drawn and not used. To be called before anything new is read. */
  endTurn(): void {
    if (this.#drawnIvs === 0) return;
    this.#ivs.fill(0, 0, this.#drawnIvs * ivBytes);
    this.#nextIv = this.#drawnIvs = 0;
  }

  /** Writes ciphertext ‖ tag. Only for known answers is the IV not this class's own. */
  sealUnder(key: ObjectHandle, iv: Buffer, aad: Buffer, plaintext: Buffer, out: Buffer): void {
    const { library, handle } = this.#session;
    library.C_EncryptInit(handle, this.#gcm(iv, aad), key);
    const sealed = library.C_Encrypt(handle, inputOf(plaintext), out);
    requireLength(sealed, plaintext.length + tagBytes);
  }

  /** Opens IV ‖ ciphertext ‖ tag into `out` (as long as `sealed`) and returns the plaintext's length. The library's error when the tag does not match. */
  open(key: ObjectHandle, aad: Buffer, sealed: Buffer, out: Buffer): number {
    const plaintextBytes = sealed.length - sealBytes;
    if (plaintextBytes < 0) throw new RequestFault('invalidCiphertext', 'it is too short to have a tag');
    const { library, handle } = this.#session;
    library.C_DecryptInit(handle, this.#gcm(sealed.subarray(0, ivBytes), aad), key);
    const opened = library.C_Decrypt(handle, sealed.subarray(ivBytes), out);
    requireLength(opened, plaintextBytes);
    return plaintextBytes;
  }

  /** The algorithm's MAC into `out`, which is as long. */
  mac(algorithm: Mac, key: ObjectHandle, data: Buffer, out: Buffer): void {
    const { library, handle } = this.#session;
    library.C_SignInit(handle, algorithm.mechanism, key);
    requireLength(library.C_Sign(handle, inputOf(data), out), algorithm.bytes);
  }

  /** Fills `out` from the token's generator alone. */
  tokenRandom(out: Buffer): void {
    this.#session.library.C_GenerateRandom(this.#session.handle, out);
  }

  /** Fills `out`, 2048 bytes at most, from the token's generator, combined with the kernel's: as good as the better of the two. */
  random(out: Buffer): void {
    this.tokenRandom(out);
    const mixed = this.#mixed;
    kernelFile ??= openSync(kernelGenerator, 'r');
    if (readSync(kernelFile, mixed, 0, out.length, null) !== out.length)
      throw new TokenLost('the kernel gave no bytes');
    for (let i = 0; i < out.length; i++) out[i] = (out[i] ?? 0) ^ (mixed[i] ?? 0);
    mixed.fill(0, 0, out.length);
  }

  /** Valid until the next draw. Twice as many as before in the same turn, since few are wasted then and few calls are made. */
  #drawIv(): Buffer {
    if (this.#nextIv === this.#drawnIvs) {
      this.#drawnIvs = Math.min(ivsPerDraw, Math.max(1, 2 * this.#drawnIvs));
      this.#nextIv = 0;
      this.random(this.#ivs.subarray(0, this.#drawnIvs * ivBytes));
    }
    const at = this.#nextIv * ivBytes;
    this.#nextIv += 1;
    return this.#ivs.subarray(at, at + ivBytes);
  }
}

function requireLength(output: Buffer, bytes: number): void {
  if (output.length !== bytes) throw new TokenLost('the token answered with an output of another length');
}
