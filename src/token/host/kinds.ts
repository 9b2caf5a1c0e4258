// The keys that the host makes and what they are used for, a row for each kind and each algorithm. Templates, known answers and what the
// host reports read them from here. What is not in a kind's row a key of it cannot do.
import pkcs11 from 'pkcs11js';
import { tokenKinds, type TokenAlgorithm, type TokenKind } from '../../model/token-key.js';

/** Every use that PKCS#11 v2.40 (§4.8, §4.9) knows of a secret or private key: a key has those of its kind alone. */
export const uses = [
  ['CKA_ENCRYPT', pkcs11.CKA_ENCRYPT],
  ['CKA_DECRYPT', pkcs11.CKA_DECRYPT],
  ['CKA_SIGN', pkcs11.CKA_SIGN],
  ['CKA_VERIFY', pkcs11.CKA_VERIFY],
  ['CKA_WRAP', pkcs11.CKA_WRAP],
  ['CKA_UNWRAP', pkcs11.CKA_UNWRAP],
  ['CKA_DERIVE', pkcs11.CKA_DERIVE],
] as const;
export type Use = (typeof uses)[number][0];

/** Made by C_GenerateKey, with CKA_VALUE_LEN. */
export interface Kind {
  readonly keyType: number;
  readonly bytes: number;
  readonly generation: pkcs11.Mechanism;
  readonly uses: readonly Use[];
}

const aes = { keyType: pkcs11.CKK_AES, generation: { mechanism: pkcs11.CKM_AES_KEY_GEN } } as const;
const secret = {
  keyType: pkcs11.CKK_GENERIC_SECRET,
  generation: { mechanism: pkcs11.CKM_GENERIC_SECRET_KEY_GEN },
  uses: ['CKA_SIGN', 'CKA_VERIFY'],
} as const;

export const kinds = {
  AES_256: { ...aes, bytes: 32, uses: ['CKA_ENCRYPT', 'CKA_DECRYPT'] },
  HMAC_224: { ...secret, bytes: 28 },
  HMAC_256: { ...secret, bytes: 32 },
  HMAC_384: { ...secret, bytes: 48 },
  HMAC_512: { ...secret, bytes: 64 },
} as const satisfies Record<TokenKind, Kind>;

/** For whatever is kept a kind. */
export const forEachKind = <T>(make: (kind: TokenKind) => T): Record<TokenKind, T> =>
  Object.fromEntries(tokenKinds.map((kind) => [kind, make(kind)])) as Record<TokenKind, T>;

interface AlgorithmBase {
  /** The mechanism's name, for the operator. */
  readonly name: string;
  readonly mechanism: pkcs11.Mechanism;
  readonly kind: TokenKind;
  /** The daemon cannot be without it: a token that lacks it is refused. */
  readonly needed: boolean;
}

/** AEAD with a 96-bit IV and a 128-bit tag. */
export interface Aead extends AlgorithmBase {
  readonly does: 'aead';
  readonly answer: {
    readonly key: Buffer;
    readonly iv: Buffer;
    readonly aad: Buffer;
    readonly plaintext: Buffer;
    /** Ciphertext ‖ tag. */
    readonly sealed: Buffer;
  };
}

export interface Mac extends AlgorithmBase {
  readonly does: 'mac';
  readonly bytes: number;
  readonly answer: { readonly key: Buffer; readonly data: Buffer; readonly mac: Buffer };
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

/** RFC 4231 §4.7 (test case 6): tokens may refuse the shorter keys of the other cases. */
const rfc4231Case6 = {
  key: Buffer.alloc(131, 0xaa),
  data: Buffer.from('Test Using Larger Than Block-Size Key - Hash Key First'),
};

export const algorithms = {
  AES_256_GCM: {
    does: 'aead',
    name: 'CKM_AES_GCM',
    mechanism: { mechanism: pkcs11.CKM_AES_GCM },
    kind: 'AES_256',
    needed: true,
    // McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16: AES-256, 96-bit IV, AAD, 60 bytes.
    answer: {
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
    },
  },
  HMAC_SHA_224: {
    does: 'mac',
    name: 'CKM_SHA224_HMAC',
    mechanism: { mechanism: pkcs11.CKM_SHA224_HMAC },
    kind: 'HMAC_224',
    needed: false,
    bytes: 28,
    answer: { ...rfc4231Case6, mac: hex('95e9a0db962095adaebe9b2d6f0dbce2d499f112f2d2b7273fa6870e') },
  },
  HMAC_SHA_256: {
    does: 'mac',
    name: 'CKM_SHA256_HMAC',
    mechanism: { mechanism: pkcs11.CKM_SHA256_HMAC },
    kind: 'HMAC_256',
    needed: true,
    bytes: 32,
    answer: { ...rfc4231Case6, mac: hex('60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54') },
  },
  HMAC_SHA_384: {
    does: 'mac',
    name: 'CKM_SHA384_HMAC',
    mechanism: { mechanism: pkcs11.CKM_SHA384_HMAC },
    kind: 'HMAC_384',
    needed: false,
    bytes: 48,
    answer: {
      ...rfc4231Case6,
      mac: hex('4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952'),
    },
  },
  HMAC_SHA_512: {
    does: 'mac',
    name: 'CKM_SHA512_HMAC',
    mechanism: { mechanism: pkcs11.CKM_SHA512_HMAC },
    kind: 'HMAC_512',
    needed: false,
    bytes: 64,
    answer: {
      ...rfc4231Case6,
      mac: hex(
        '80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352' +
          '6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598',
      ),
    },
  },
} as const satisfies Record<TokenAlgorithm, Aead | Mac>;

/** What the daemon's operations need the token to have, by name for the operator. */
export const neededMechanisms: readonly (readonly [name: string, type: number])[] = [
  ['CKM_AES_KEY_GEN', pkcs11.CKM_AES_KEY_GEN],
  ['CKM_GENERIC_SECRET_KEY_GEN', pkcs11.CKM_GENERIC_SECRET_KEY_GEN],
  ...Object.values<Aead | Mac>(algorithms)
    .filter(({ needed }) => needed)
    .map(({ name, mechanism }) => [name, mechanism.mechanism] as const),
];
