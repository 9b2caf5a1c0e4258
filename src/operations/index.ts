// The registry: every operation there is, by service and name. Façades dispatch from it; the documentation table is generated from it.
import type { Service } from '../model/service.js';
import { createAlias, deleteAlias, listAliases, updateAlias } from './aliases.js';
import { createKey } from './create-key.js';
import { decrypt, encrypt, reEncrypt } from './cryptography.js';
import { generateDataKey, generateDataKeyWithoutPlaintext, generateRandom } from './data-keys.js';
import type { AnyOperation } from './define.js';
import { generateMac, verifyMac } from './macs.js';
import { getKeyPolicy, listKeyPolicies } from './key-policies.js';
import {
  cancelKeyDeletion,
  describeKey,
  disableKey,
  enableKey,
  listKeys,
  scheduleKeyDeletion,
  updateKeyDescription,
} from './keys.js';
import { listResourceTags, tagResource, untagResource } from './tags.js';

const kms: readonly AnyOperation[] = [
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
  generateMac,
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
  verifyMac,
];

const byName = (all: readonly AnyOperation[]): ReadonlyMap<string, AnyOperation> =>
  new Map(all.map((operation) => [operation.name, operation]));

export const operations: Readonly<Record<Service, ReadonlyMap<string, AnyOperation>>> = { kms: byName(kms) };
