// The members that several operations share, with the constraints of the AWS KMS service model.
import {
  blob,
  boolean,
  integer,
  list,
  oneOf,
  optional,
  required,
  stringMap,
  struct,
  text,
  withDefault,
} from './shapes.js';

export const keyId = text({ min: 1, max: 2048 });
export const description = text({ min: 0, max: 8192 });
export const aliasName = text({ min: 1, max: 256, pattern: '^[a-zA-Z0-9:/_-]+$' });
/** The bounds of the model's shape, which it has in common for all lists. */
export const limit = optional(integer(1, 1000));
export const marker = optional(text({ min: 1, max: 1024, pattern: '[\\u0020-\\u00FF]*' }));
export const policy = text({ min: 1, max: 131_072, pattern: '[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+' });
const tagKey = text({ min: 1, max: 128 });
const tag = struct({ TagKey: required(tagKey), TagValue: required(text({ min: 0, max: 256 })) });
/** The model has no maximum. Up to here `requireValidTags` says that they are too many, as AWS does, whose quota is 50. */
const mostTags = 1000;
export const tags = list(tag, mostTags);
export const tagKeys = list(tagKey, mostTags);
export const dryRun = withDefault(boolean, false);
export const grantTokens = withDefault(list(text({ min: 1, max: 8192 }), 10), []);
/** AWS's bound for all of a context together. */
const mostContextBytes = 8192;
export const encryptionContext = withDefault(stringMap(mostContextBytes), {});
export const encryptionAlgorithm = withDefault(
  oneOf(['SYMMETRIC_DEFAULT', 'RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256', 'SM2PKE']),
  'SYMMETRIC_DEFAULT',
);
export const dataKeySpec = optional(oneOf(['AES_256', 'AES_128']));
export const numberOfBytes = optional(integer(1, 1024));
export const ciphertextBlob = optional(blob(1, 6144));
export const dryRunModifiers = withDefault(list(oneOf(['IGNORE_CIPHERTEXT']), 10), []);
/** Nitro attestation: read so that it can be refused by name. */
export const recipient = optional(
  struct({
    KeyEncryptionAlgorithm: optional(oneOf(['RSAES_OAEP_SHA_256'])),
    AttestationDocument: optional(blob(1, 262_144)),
  }),
);
