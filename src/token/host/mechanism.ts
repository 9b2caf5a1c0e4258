// Every mechanism and every input buffer the host passes to pkcs11js is made here: a parameter of a wrong type ends the process.
import pkcs11 from 'pkcs11js';

export const ivBytes = 12;
export const tagBytes = 16;

/** pkcs11js takes the address of an input's first byte: an empty input must still have one, so it is a view of a real buffer. */
const emptyInput = Buffer.alloc(8).subarray(0, 0);

export const inputOf = (bytes: Buffer): Buffer => (bytes.length === 0 ? emptyInput : bytes);

/** Makes CKM_AES_GCM's mechanism: 96-bit IV, 128-bit tag (NIST SP 800-38D §5.2.1). */
export type GcmMechanism = (iv: Buffer, aad: Buffer) => pkcs11.Mechanism;

export function gcmMechanism(parameters: 'with-iv-bits' | 'without-iv-bits'): GcmMechanism {
  const type = parameters === 'with-iv-bits' ? pkcs11.CK_PARAMS_AES_GCM_v240 : pkcs11.CK_PARAMS_AES_GCM;
  return (iv, aad) => {
    if (iv.length !== ivBytes) throw new RangeError('an IV has 12 bytes');
    const parameter: pkcs11.AesGCM = { type, iv, ivBits: ivBytes * 8, aad: inputOf(aad), tagBits: tagBytes * 8 };
    return { mechanism: pkcs11.CKM_AES_GCM, parameter };
  };
}

/** What the start-up probe tries to wrap a key with: the AES mechanisms of PKCS#11 v2.40 that C_WrapKey may take. */
export const wrapMechanisms: readonly pkcs11.Mechanism[] = [
  { mechanism: pkcs11.CKM_AES_KEY_WRAP },
  { mechanism: pkcs11.CKM_AES_KEY_WRAP_PAD },
  { mechanism: pkcs11.CKM_AES_ECB },
  { mechanism: pkcs11.CKM_AES_CBC, parameter: Buffer.alloc(16) },
  { mechanism: pkcs11.CKM_AES_CBC_PAD, parameter: Buffer.alloc(16) },
];
