// The start-up self-test: published answers, round trips, and every way PKCS#11 has to get a key out, each of which must fail. It uses
// session objects only, so that a host killed in the middle leaves nothing in the token.
import type pkcs11 from 'pkcs11js';
import { Cipher, macBytes, sealBytes } from './cipher.js';
import { RequestFault, StartFault } from './fault.js';
import { aesKeyGen, tagBytes, wrapMechanisms } from './mechanism.js';
import type { Profile } from './profile.js';
import type { ObjectHandle, TokenSession } from './session.js';
import { generationTemplate, knownKeyTemplate, loosenings, valueQuery, wrappingKeyTemplate } from './template.js';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

/** McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16: AES-256, 96-bit IV, AAD, 60 bytes. */
const gcmAnswer = {
  key: hex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'),
  iv: hex('cafebabefacedbaddecaf888'),
  aad: hex('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
  plaintext: hex(
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
  ),
  sealed: hex(
    '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662' +
      '76fc6ece0f4e1768cddf8853bb2d551b',
  ),
};

/** RFC 4231 §4.7 (test case 6): tokens may refuse the shorter keys of the other cases. */
const hmacAnswer = {
  key: Buffer.alloc(131, 0xaa),
  data: Buffer.from('Test Using Larger Than Block-Size Key - Hash Key First'),
  mac: hex('60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54'),
};

/** StartFault `token-unsafe` when the token computes wrongly or would let a key out. Leaves a fresh session. */
export function selfTest(session: TokenSession, profile: Profile): void {
  const cipher = new Cipher(session, profile);
  checkRandom(cipher);
  if (profile.importsSessionKeys.value) checkKnownAnswers(session, cipher);
  const { library, handle } = session;
  const name = { ckaId: Buffer.from('hsmb-self-test-1'), label: 'hsm-bridge self-test' };
  const key = library.C_GenerateKey(handle, aesKeyGen, generationTemplate('aes-gcm', name, false));
  const wrong = session.mismatchesOf('aes-gcm', key);
  if (wrong.length > 0) throw unsafe(`a new key's ${wrong.join(', ')} is not as asked`);
  checkRoundTrip(cipher, key);
  checkNoWayOut(session, key);
  session.replace();
}

function checkRandom(cipher: Cipher): void {
  const [first, second] = [Buffer.alloc(32), Buffer.alloc(32)];
  cipher.tokenRandom(first);
  cipher.tokenRandom(second);
  if (first.equals(second) || first.equals(Buffer.alloc(32))) throw unsafe('its random generator repeats itself');
}

function checkKnownAnswers(session: TokenSession, cipher: Cipher): void {
  const { library, handle } = session;
  const aesKey = library.C_CreateObject(handle, knownKeyTemplate('aes-gcm', gcmAnswer.key));
  const sealed = Buffer.alloc(gcmAnswer.plaintext.length + tagBytes);
  cipher.sealUnder(aesKey, gcmAnswer.iv, gcmAnswer.aad, gcmAnswer.plaintext, sealed);
  if (!sealed.equals(gcmAnswer.sealed)) throw unsafe('AES-256-GCM gives another result than the published one');
  const macKey = library.C_CreateObject(handle, knownKeyTemplate('hmac', hmacAnswer.key));
  const mac = Buffer.alloc(macBytes);
  cipher.mac(macKey, hmacAnswer.data, mac);
  if (!mac.equals(hmacAnswer.mac)) throw unsafe('HMAC-SHA-256 gives another result than the published one');
}

function checkRoundTrip(cipher: Cipher, key: ObjectHandle): void {
  const { plaintext, aad } = gcmAnswer;
  const sealed = Buffer.alloc(plaintext.length + sealBytes);
  cipher.seal(key, aad, plaintext, sealed);
  const opened = Buffer.alloc(sealed.length);
  const bytes = cipher.open(key, aad, sealed, opened);
  if (!opened.subarray(0, bytes).equals(plaintext)) throw unsafe('AES-256-GCM does not give back what it was given');
  const changedTag = Buffer.from(sealed);
  changedTag.writeUInt8(changedTag.readUInt8(sealed.length - 1) ^ 1, sealed.length - 1);
  if (opens(cipher, key, aad, changedTag) || opens(cipher, key, Buffer.alloc(aad.length), sealed)) {
    throw unsafe('AES-256-GCM opens a ciphertext that was changed');
  }
}

function opens(cipher: Cipher, key: ObjectHandle, aad: Buffer, sealed: Buffer): boolean {
  try {
    cipher.open(key, aad, sealed, Buffer.alloc(sealed.length));
    return true;
  } catch (error) {
    if (error instanceof RequestFault) return false;
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
  for (const [what, template] of loosenings) {
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
    wrappingKey = library.C_GenerateKey(session.handle, aesKeyGen, wrappingKeyTemplate());
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
