// The start-up self-test: published answers, round trips, and every way PKCS#11 has to get a key out, each of which must fail. It uses
// session objects only, so that a host killed in the middle leaves nothing in the token.
import type pkcs11 from 'pkcs11js';
import type { TokenAlgorithm } from '../../model/token-key.js';
import { Cipher, sealBytes } from './cipher.js';
import { meaningsOf, type MeaningOf } from './ckr.js';
import { StartFault } from './fault.js';
import { algorithms, kinds, type Aead, type Mac } from './kinds.js';
import { tagBytes, wrapMechanisms } from './mechanism.js';
import type { Profile } from './profile.js';
import type { ObjectHandle, TokenSession } from './session.js';
import { generationTemplate, knownKeyTemplate, weakenings, valueQuery, wrappingKeyTemplate } from './template.js';

/**
 * The algorithms that work. StartFault `token-unsafe` when one that the daemon needs computes wrongly, or the token would let a key out.
 * Leaves a fresh session.
 */
export function selfTest(session: TokenSession, profile: Profile): TokenAlgorithm[] {
  const cipher = new Cipher(session, profile);
  checkRandom(cipher);
  const listed = new Set(session.library.C_GetMechanismList(session.token.slot));
  const works = (Object.entries(algorithms) as [TokenAlgorithm, Aead | Mac][])
    .filter(([, algorithm]) => listed.has(algorithm.mechanism.mechanism))
    .filter(([, algorithm]) => doesWork(session, profile, cipher, algorithm))
    .map(([name]) => name);
  const key = makeKey(session, algorithms.AES_256_GCM);
  checkRoundTrip(cipher, key, meaningsOf(profile.answers));
  checkNoWayOut(session, key);
  session.replace();
  return works;
}

/** What is needed and does not work is a StartFault, or the token's own error. */
function doesWork(session: TokenSession, profile: Profile, cipher: Cipher, algorithm: Aead | Mac): boolean {
  try {
    if (profile.importsSessionKeys.value) {
      if (givesKnownAnswer(session, cipher, algorithm)) return true;
      throw unsafe(`${algorithm.name} gives another result than the published one`);
    }
    if (algorithm.does === 'mac') {
      cipher.mac(algorithm, makeKey(session, algorithm), algorithm.answer.data, Buffer.alloc(algorithm.bytes));
    }
    return true;
  } catch (error) {
    if (algorithm.needed) throw error;
    session.replace();
    return false;
  }
}

function givesKnownAnswer(session: TokenSession, cipher: Cipher, algorithm: Aead | Mac): boolean {
  const { library, handle } = session;
  const key = library.C_CreateObject(handle, knownKeyTemplate(kinds[algorithm.kind], algorithm.answer.key));
  if (algorithm.does === 'mac') {
    const mac = Buffer.alloc(algorithm.bytes);
    cipher.mac(algorithm, key, algorithm.answer.data, mac);
    return mac.equals(algorithm.answer.mac);
  }
  const { iv, aad, plaintext } = algorithm.answer;
  const sealed = Buffer.alloc(plaintext.length + tagBytes);
  cipher.sealUnder(key, iv, aad, plaintext, sealed);
  return sealed.equals(algorithm.answer.sealed);
}

/** A session key of the algorithm's kind, as the host makes keys. */
function makeKey(session: TokenSession, algorithm: Aead | Mac): ObjectHandle {
  const { library, handle } = session;
  const kind = kinds[algorithm.kind];
  const name = { ckaId: Buffer.from('hsmb-self-test-1'), label: 'hsm-bridge self-test' };
  const key = library.C_GenerateKey(handle, kind.generation, generationTemplate(kind, name, false));
  const wrong = session.mismatchesOf(kind, key);
  if (wrong.length > 0) throw unsafe(`a new key's ${wrong.join(', ')} is not as asked`);
  return key;
}

function checkRandom(cipher: Cipher): void {
  const [first, second] = [Buffer.alloc(32), Buffer.alloc(32)];
  cipher.tokenRandom(first);
  cipher.tokenRandom(second);
  if (first.equals(second) || first.equals(Buffer.alloc(32))) throw unsafe('its random generator repeats itself');
}

function checkRoundTrip(cipher: Cipher, key: ObjectHandle, meaningOf: MeaningOf): void {
  const { plaintext, aad } = algorithms.AES_256_GCM.answer;
  const sealed = Buffer.alloc(plaintext.length + sealBytes);
  cipher.seal(key, aad, plaintext, sealed);
  const opened = Buffer.alloc(sealed.length);
  const bytes = cipher.open(key, aad, sealed, opened);
  if (!opened.subarray(0, bytes).equals(plaintext)) throw unsafe('AES-256-GCM does not give back what it was given');
  const changedTag = Buffer.from(sealed);
  changedTag.writeUInt8(changedTag.readUInt8(sealed.length - 1) ^ 1, sealed.length - 1);
  const isOpened = (with_: Buffer, bytes: Buffer): boolean => opens(cipher, key, with_, bytes, meaningOf);
  if (isOpened(aad, changedTag) || isOpened(Buffer.alloc(aad.length), sealed)) {
    throw unsafe('AES-256-GCM opens a ciphertext that was changed');
  }
}

function opens(cipher: Cipher, key: ObjectHandle, aad: Buffer, sealed: Buffer, meaningOf: MeaningOf): boolean {
  try {
    cipher.open(key, aad, sealed, Buffer.alloc(sealed.length));
    return true;
  } catch (error) {
    if (meaningOf(error).says === 'invalidCiphertext') return false;
    throw error;
  }
}

function checkNoWayOut(session: TokenSession, key: ObjectHandle): void {
  const { library } = session;
  const attempt = (what: string, call: () => boolean): void => {
    let succeeded: boolean;
    try {
      succeeded = call();
    } catch {
      // Whatever the value: the key stayed inside. An operation may have stayed active, though.
      session.replace();
      return;
    }
    if (succeeded) throw unsafe(`a non-extractable key could be taken out: ${what}`);
  };
  attempt('CKA_VALUE read', () => {
    const [read] = library.C_GetAttributeValue(session.handle, key, valueQuery());
    return read !== undefined && read.value.length > 0;
  });
  for (const [what, template] of weakenings) {
    attempt(what, () => {
      library.C_SetAttributeValue(session.handle, key, template());
      return true;
    });
    attempt(`${what} on a copy`, () => {
      library.C_CopyObject(session.handle, key, template());
      return true;
    });
  }
  let wrappingKey: ObjectHandle;
  try {
    wrappingKey = library.C_GenerateKey(session.handle, kinds.AES_256.generation, wrappingKeyTemplate());
  } catch {
    return; // No key that wraps: nothing to wrap with.
  }
  for (const mechanism of wrapMechanisms) attemptWrap(mechanism);

  function attemptWrap(mechanism: pkcs11.Mechanism): void {
    attempt(`C_WrapKey with mechanism 0x${mechanism.mechanism.toString(16)}`, () => {
      library.C_WrapKey(session.handle, mechanism, wrappingKey, key, Buffer.alloc(256));
      return true;
    });
  }
}

const unsafe = (why: string): StartFault => new StartFault('token-unsafe', `the token is not used, because ${why}`);
