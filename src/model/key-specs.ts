// The key specs that are served, a row for each: what a key of it may be used for and with which algorithms, and what the token makes for it.
// CreateKey, KeyMetadata, the line's check of usage and the material that is generated read it from here.
import type { Strategy } from './ciphertext-blob.js';

export const macAlgorithms = ['HMAC_SHA_224', 'HMAC_SHA_256', 'HMAC_SHA_384', 'HMAC_SHA_512'] as const;
export type MacAlgorithm = (typeof macAlgorithms)[number];

/** AWS's names for what can be done with a key of each usage, as far as a served spec has it. */
interface Algorithms {
  readonly ENCRYPT_DECRYPT: 'SYMMETRIC_DEFAULT';
  readonly GENERATE_VERIFY_MAC: MacAlgorithm;
}
export type KeyUsage = keyof Algorithms;

interface KeySpecRow {
  /** By usage; a key has one of them for good. */
  readonly algorithms: { readonly [U in KeyUsage]?: readonly Algorithms[U][] };
  /** What the token generates: a row of its host's table of kinds. */
  readonly token: string;
  /** What the token must be able to do. */
  readonly needs: string;
  /** How its ciphertexts are made; undefined: it makes none of ours. */
  readonly strategy: Strategy | undefined;
}

/** HMAC keys as long as their algorithm's hash (AWS KMS Developer Guide, "HMAC keys in AWS KMS"). */
const mac = <const T extends string>(token: T, algorithm: MacAlgorithm) =>
  ({ algorithms: { GENERATE_VERIFY_MAC: [algorithm] }, token, needs: algorithm, strategy: undefined }) as const;

export const keySpecs = {
  SYMMETRIC_DEFAULT: {
    algorithms: { ENCRYPT_DECRYPT: ['SYMMETRIC_DEFAULT'] },
    token: 'AES_256',
    needs: 'AES_256_GCM',
    strategy: 'gcm-host-iv',
  },
  HMAC_224: mac('HMAC_224', 'HMAC_SHA_224'),
  HMAC_256: mac('HMAC_256', 'HMAC_SHA_256'),
  HMAC_384: mac('HMAC_384', 'HMAC_SHA_384'),
  HMAC_512: mac('HMAC_512', 'HMAC_SHA_512'),
} as const satisfies Readonly<Record<string, KeySpecRow>>;

export type KeySpec = keyof typeof keySpecs;

/** What the token has for the specs, as the port names it. */
export type SpecToken = (typeof keySpecs)[KeySpec]['token'];
export type SpecNeed = (typeof keySpecs)[KeySpec]['needs'];

export const keySpecRow = (spec: KeySpec): KeySpecRow & { readonly token: SpecToken; readonly needs: SpecNeed } =>
  keySpecs[spec];

/** AWS has more specs than are served. */
export const isKeySpec = (spec: string): spec is KeySpec => Object.hasOwn(keySpecs, spec);

/** What a key of this spec and usage can do; undefined when no key of the spec has that usage. */
export const algorithmsOf = <U extends KeyUsage>(spec: KeySpec, usage: U): readonly Algorithms[U][] | undefined =>
  keySpecRow(spec).algorithms[usage];

/** Whether it is a usage of the spec. */
export const isUsageOf = (spec: KeySpec, usage: string): usage is KeyUsage =>
  Object.hasOwn(keySpecRow(spec).algorithms, usage);
