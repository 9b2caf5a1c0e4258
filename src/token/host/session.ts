// One logged-in session on one token, and AES-256 keys in it that cannot leave. Every PKCS#11 call of the project is made here,
// synchronously, with arguments of exactly the types pkcs11js expects: a wrong type ends the process.
import * as pkcs11 from 'pkcs11js';

/** Which token of which module: chosen by its label, never by the slot's index, which changes. */
export interface TokenSelector {
  readonly modulePath: string;
  readonly label: string;
}

export interface TokenSession {
  readonly module: pkcs11.PKCS11;
  readonly handle: Buffer;
}

export type KeyHandle = Buffer;

/** The attributes that make "keys cannot leave" true, with the value each must have when read back (PKCS#11 v2.40 §4.9). */
const guarded: readonly (readonly [name: string, type: number, value: boolean])[] = [
  ['CKA_TOKEN', pkcs11.CKA_TOKEN, true],
  ['CKA_PRIVATE', pkcs11.CKA_PRIVATE, true],
  ['CKA_SENSITIVE', pkcs11.CKA_SENSITIVE, true],
  ['CKA_ALWAYS_SENSITIVE', pkcs11.CKA_ALWAYS_SENSITIVE, true],
  ['CKA_EXTRACTABLE', pkcs11.CKA_EXTRACTABLE, false],
  ['CKA_NEVER_EXTRACTABLE', pkcs11.CKA_NEVER_EXTRACTABLE, true],
  ['CKA_LOCAL', pkcs11.CKA_LOCAL, true],
  ['CKA_ENCRYPT', pkcs11.CKA_ENCRYPT, true],
  ['CKA_DECRYPT', pkcs11.CKA_DECRYPT, true],
  ['CKA_WRAP', pkcs11.CKA_WRAP, false],
  ['CKA_UNWRAP', pkcs11.CKA_UNWRAP, false],
  ['CKA_SIGN', pkcs11.CKA_SIGN, false],
  ['CKA_VERIFY', pkcs11.CKA_VERIFY, false],
];

const tagBytes = 16;
const ivBytes = 12;
/** pkcs11js takes the address of an input's first byte: an empty input needs an address, so it is a view of a real buffer. */
const emptyInput = Buffer.alloc(8).subarray(0, 0);

/**
 * Loads the module, opens a read-write session on the labelled token and logs in: one attempt, never repeated, because a
 * token counts them. Throws pkcs11js's error; what it means is the caller's to decide.
 */
export function openSession(selector: TokenSelector, pin: string): TokenSession {
  const module = new pkcs11.PKCS11();
  module.load(selector.modulePath);
  module.C_Initialize();
  const handle = module.C_OpenSession(
    slotOf(module, selector.label),
    pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION,
  );
  module.C_Login(handle, pkcs11.CKU_USER, pin);
  return { module, handle };
}

export function closeModule(session: TokenSession): void {
  session.module.C_Finalize();
  session.module.close();
}

/** Generates an AES-256 key with the given CKA_ID, reads its guarded attributes back, and destroys it if one is not as asked. */
export function generateAesKey({ module, handle }: TokenSession, ckaId: Buffer, label: string): KeyHandle {
  const key = module.C_GenerateKey(handle, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
    { type: pkcs11.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11.CKA_ID, value: ckaId },
    { type: pkcs11.CKA_LABEL, value: label },
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_PRIVATE, value: true },
    { type: pkcs11.CKA_SENSITIVE, value: true },
    { type: pkcs11.CKA_EXTRACTABLE, value: false },
    { type: pkcs11.CKA_ENCRYPT, value: true },
    { type: pkcs11.CKA_DECRYPT, value: true },
    { type: pkcs11.CKA_WRAP, value: false },
    { type: pkcs11.CKA_UNWRAP, value: false },
    { type: pkcs11.CKA_SIGN, value: false },
    { type: pkcs11.CKA_VERIFY, value: false },
  ]);
  const wrong = guardedMismatches({ module, handle }, key);
  if (wrong.length > 0) {
    module.C_DestroyObject(handle, key);
    throw new Error(`the token made a key whose ${wrong.join(', ')} is not as asked: it was destroyed`);
  }
  return key;
}

/** The names of guarded attributes that do not have their value; empty for a key that cannot leave. */
export function guardedMismatches({ module, handle }: TokenSession, key: KeyHandle): string[] {
  return guarded
    .filter(([, type, value]) => !readsAs(module.C_GetAttributeValue(handle, key, [{ type }]), value))
    .map(([name]) => name);
}

/** AES-256-GCM, IV from the token's random generator (NIST SP 800-38D §8.2.2). Returns IV ‖ ciphertext ‖ tag. */
export function encryptGcm({ module, handle }: TokenSession, key: KeyHandle, aad: Buffer, plaintext: Buffer): Buffer {
  const iv = module.C_GenerateRandom(handle, Buffer.alloc(ivBytes));
  module.C_EncryptInit(handle, gcm(iv, aad), key);
  const sealed = module.C_Encrypt(handle, orEmpty(plaintext), Buffer.alloc(plaintext.length + tagBytes));
  return Buffer.concat([iv, sealed]);
}

/** Opens IV ‖ ciphertext ‖ tag. Throws when anything does not match (SoftHSM says CKR_GENERAL_ERROR). */
export function decryptGcm({ module, handle }: TokenSession, key: KeyHandle, aad: Buffer, sealed: Buffer): Buffer {
  module.C_DecryptInit(handle, gcm(Buffer.from(sealed.subarray(0, ivBytes)), aad), key);
  return module.C_Decrypt(handle, Buffer.from(sealed.subarray(ivBytes)), Buffer.alloc(sealed.length));
}

function gcm(iv: Buffer, aad: Buffer): pkcs11.Mechanism {
  const type = pkcs11.CK_PARAMS_AES_GCM_v240;
  const parameter: pkcs11.AesGCM = { type, iv, ivBits: iv.length * 8, aad, tagBits: tagBytes * 8 };
  return { mechanism: pkcs11.CKM_AES_GCM, parameter };
}

function slotOf(module: pkcs11.PKCS11, label: string): Buffer {
  const slot = module
    .C_GetSlotList(true)
    .find((candidate) => module.C_GetTokenInfo(candidate).label.trimEnd() === label);
  if (slot === undefined) throw new Error('no token with the configured label: initialise it, or correct the label');
  return slot;
}

function readsAs(attributes: pkcs11.Template, value: boolean): boolean {
  const read = attributes[0]?.value;
  return Buffer.isBuffer(read) && read.length === 1 && (read[0] !== 0) === value;
}

function orEmpty(input: Buffer): Buffer {
  return input.length === 0 ? emptyInput : input;
}
