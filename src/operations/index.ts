// The registry: every operation there is. The AWS façade dispatches from it; the documentation table is generated from it.
import { createAlias, deleteAlias, listAliases, updateAlias } from './aliases.js';
import { createKey } from './create-key.js';
import { decrypt, encrypt, reEncrypt } from './cryptography.js';
import { generateDataKey, generateDataKeyWithoutPlaintext, generateRandom } from './data-keys.js';
import type { AnyOperation } from './define.js';
import { getKeyPolicy, listKeyPolicies } from './key-policies.js';
import {
  cancelKeyDeletion,
  describeKey,
  disableKey,
  enableKey,
  listKeys,
  scheduleKeyDeletion,
  updateKeyDescription,
} from './key-state.js';
import { listResourceTags, tagResource, untagResource } from './tags.js';

const all: readonly AnyOperation[] = [
  cancelKeyDeletion,
  createAlias,
  createKey,
  decrypt,
  deleteAlias,
  describeKey,
  disableKey,
  enableKey,
  encrypt,
  generateDataKey,
  generateDataKeyWithoutPlaintext,
  generateRandom,
  getKeyPolicy,
  listAliases,
  listKeyPolicies,
  listKeys,
  listResourceTags,
  reEncrypt,
  scheduleKeyDeletion,
  tagResource,
  untagResource,
  updateAlias,
  updateKeyDescription,
];

export const operations: ReadonlyMap<string, AnyOperation> = new Map(
  all.map((operation) => [operation.name, operation]),
);
