// The members that several operations share, with the constraints of the AWS KMS service model.
import { macAlgorithms } from '../model/key-specs.js';
import {
  blob,
  boolean,
  integer,
  list,
  oneOf,
  required,
  secret,
  structure,
  text,
  textMap,
  timestamp,
  withDefault,
} from '../shapes/shape.js';

export const keyId = text({ min: 1, max: 2048 });
export const description = text({ min: 0, max: 8192 });
export const aliasName = text({ min: 1, max: 256, pattern: '^[a-zA-Z0-9:/_-]+$' });
/** The bounds of the model's shape, which it has in common for all lists. */
export const limit = integer(1, 1000);
export const marker = text({ min: 1, max: 1024, pattern: '[\\u0020-\\u00FF]*' });
export const policy = text({ min: 1, max: 131_072, pattern: '[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+' });
const tagKey = text({ min: 1, max: 128 });
const tag = structure({ TagKey: required(tagKey), TagValue: required(text({ min: 0, max: 256 })) });
/** The model has no maximum. Up to here `requireValidTags` says that they are more than the quota, as AWS does. */
const mostTags = 1000;
export const tags = list(tag, mostTags);
export const tagKeys = list(tagKey, mostTags);
export const dryRun = withDefault(boolean, false);
export const grantTokens = withDefault(list(text({ min: 1, max: 8192 }), 10), []);
/** AWS's bound for all of a context together. */
const mostContextBytes = 8192;
export const encryptionContext = withDefault(textMap(mostContextBytes), {});
export const algorithm = oneOf(['SYMMETRIC_DEFAULT', 'RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256', 'SM2PKE']);
export const encryptionAlgorithm = withDefault(algorithm, 'SYMMETRIC_DEFAULT');
export const macAlgorithm = oneOf(macAlgorithms);
export const mac = blob(1, 6144);
/** KeyMaterialId: 64 hex digits. */
export const keyMaterialId = text({ min: 64, max: 64, pattern: '^[a-f0-9]+$' });
export const arn = text({ min: 20, max: 2048 });
export const plaintext = secret(blob(1, 4096));
export const date = timestamp;
/** The deprecated enum, which no longer grows. */
const customerMasterKeySpecs = [
  'RSA_2048',
  'RSA_3072',
  'RSA_4096',
  'ECC_NIST_P256',
  'ECC_NIST_P384',
  'ECC_NIST_P521',
  'ECC_SECG_P256K1',
  'SYMMETRIC_DEFAULT',
  'HMAC_224',
  'HMAC_256',
  'HMAC_384',
  'HMAC_512',
  'SM2',
] as const;
export const customerMasterKeySpec = oneOf(customerMasterKeySpecs);
export const keySpec = oneOf([
  ...customerMasterKeySpecs,
  'ML_DSA_44',
  'ML_DSA_65',
  'ML_DSA_87',
  'ECC_NIST_EDWARDS25519',
  'ML_KEM_512',
  'ML_KEM_768',
  'ML_KEM_1024',
]);
export const keyUsage = oneOf([
  'SIGN_VERIFY',
  'ENCRYPT_DECRYPT',
  'GENERATE_VERIFY_MAC',
  'KEY_AGREEMENT',
  'ENCAPSULATE_DECAPSULATE',
]);
export const keyState = oneOf([
  'Creating',
  'Enabled',
  'Disabled',
  'PendingDeletion',
  'PendingImport',
  'PendingReplicaDeletion',
  'Unavailable',
  'Updating',
]);
export const origin = oneOf(['AWS_KMS', 'EXTERNAL', 'AWS_CLOUDHSM', 'EXTERNAL_KEY_STORE']);
export const pendingWindowInDays = integer(1, 365);
export const policyName = text({ min: 1, max: 128, pattern: '[\\w]+' });
export const customKeyStoreId = text({ min: 1, max: 64 });
export const dataKeySpec = oneOf(['AES_256', 'AES_128']);
export const numberOfBytes = integer(1, 1024);
export const ciphertextBlob = blob(1, 6144);
export const dryRunModifiers = withDefault(list(oneOf(['IGNORE_CIPHERTEXT']), 10), []);
/** Nitro attestation: read so that it can be refused by name. */
export const recipient = structure({
  KeyEncryptionAlgorithm: oneOf(['RSAES_OAEP_SHA_256']),
  AttestationDocument: blob(1, 262_144),
});
