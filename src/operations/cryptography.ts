// Encrypt, Decrypt, ReEncrypt. Plaintexts pass through here once and are kept nowhere; ReEncrypt's leaves the token host in a DryRun, and on
// its way to another key store, to be wiped here.
import { BridgeError } from '../kernel/errors.js';
import { parseCiphertext, type CiphertextParts } from '../model/ciphertext-blob.js';
import type { EncryptionContext } from '../model/encryption-context.js';
import { arnOfKey, type Key } from '../model/key.js';
import { isSameKeyStore } from '../model/key-store.js';
import type { Sealed } from '../ports/token.js';
import { isNull, validationMessage } from '../shapes/constraints.js';
import { required, structure, type Structure, type ValueOf } from '../shapes/shape.js';
import { requireAlgorithm } from './algorithm.js';
import { opening, sealing } from './material.js';
import { define, type Call } from './define.js';
import * as member from './members.js';
import * as on from './resources.js';

/** Nitro attestation is not served: a caller who asks for it must not get a plaintext instead. */
export function refuseRecipient(recipient: object | undefined): void {
  if (recipient !== undefined) {
    throw new BridgeError('ValidationException', 'Recipient is not supported by this version of hsm-bridge.');
  }
}

const encryptionConditions = {
  'kms:EncryptionAlgorithm': 'EncryptionAlgorithm',
  'kms:EncryptionContext': 'EncryptionContext',
} as const;

export const encrypt = define({
  name: 'Encrypt',
  effect: 'use',
  crossAccount: true,
  quota: 'cryptographic',
  input: structure({
    KeyId: required(member.keyId),
    Plaintext: required(member.plaintext),
    EncryptionContext: member.encryptionContext,
    GrantTokens: member.grantTokens,
    EncryptionAlgorithm: member.encryptionAlgorithm,
    DryRun: member.dryRun,
  }),
  resources: {
    key: on.key('kms:Encrypt', 'KeyId', {
      accepts: 'usable',
      usage: 'ENCRYPT_DECRYPT',
      aliases: true,
      conditions: encryptionConditions,
    }),
  },
  output: structure({
    CiphertextBlob: required(member.ciphertextBlob),
    KeyId: required(member.keyId),
    EncryptionAlgorithm: required(member.algorithm),
  }),
  // AWS's Encrypt names the material in the record alone.
  noted: { KeyMaterialId: required(member.keyMaterialId) },
  record: { request: ['KeyId', 'EncryptionContext', 'EncryptionAlgorithm', 'DryRun'], additional: ['KeyMaterialId'] },
  check: (input, { keys }) => requireAlgorithm(keys.key, input.EncryptionAlgorithm),
  run: async (input, call) => {
    const { key, material } = await sealing(call.services, call.keys.key);
    const aad = material.aad(input.EncryptionContext);
    const sealed = await call.services.tokens.of(key, call.accountId).encrypt(material.ckaId, aad, input.Plaintext);
    return {
      CiphertextBlob: Buffer.concat([material.header, sealed]),
      KeyId: arnOfKey(key),
      EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      KeyMaterialId: material.backing.materialId,
    };
  },
});

const decryptMembers = {
  CiphertextBlob: member.ciphertextBlob,
  EncryptionContext: member.encryptionContext,
  GrantTokens: member.grantTokens,
  KeyId: member.keyId,
  EncryptionAlgorithm: member.encryptionAlgorithm,
  Recipient: member.recipient,
  DryRun: member.dryRun,
  DryRunModifiers: member.dryRunModifiers,
};

export const decrypt = define({
  name: 'Decrypt',
  effect: 'use',
  crossAccount: true,
  quota: 'cryptographic',
  input: structure(decryptMembers),
  output: structure({
    KeyId: required(member.keyId),
    Plaintext: required(member.plaintext),
    EncryptionAlgorithm: required(member.algorithm),
    KeyMaterialId: required(member.keyMaterialId),
  }),
  resources: {
    key: on.keyOrCiphertext('kms:Decrypt', 'KeyId', 'CiphertextBlob', {
      accepts: 'usable',
      conditions: encryptionConditions,
    }),
  },
  validate: (input) => requireSource(input, input.KeyId, 'keyId'),
  record: {
    request: ['KeyId', 'EncryptionContext', 'EncryptionAlgorithm', 'DryRun', 'DryRunModifiers'],
    additional: ['KeyMaterialId'],
  },
  check: (input, { keys }) => {
    requireAlgorithm(keys.key, input.EncryptionAlgorithm);
    refuseRecipient(input.Recipient);
    if (!ignoresCiphertext(input)) opening(keys.key, partsOf(input));
  },
  rehearse: (input, call) => tryToOpen(input, input.EncryptionContext, call.keys.key, call),
  run: async (input, call) => {
    const { material, plaintext } = await open(input, input.EncryptionContext, call.keys.key, call);
    return {
      KeyId: arnOfKey(call.keys.key),
      Plaintext: plaintext,
      EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      KeyMaterialId: material.backing.materialId,
    };
  },
});

const reEncryptMembers = {
  CiphertextBlob: member.ciphertextBlob,
  SourceEncryptionContext: member.encryptionContext,
  SourceKeyId: member.keyId,
  DestinationKeyId: required(member.keyId),
  DestinationEncryptionContext: member.encryptionContext,
  SourceEncryptionAlgorithm: member.encryptionAlgorithm,
  DestinationEncryptionAlgorithm: member.encryptionAlgorithm,
  GrantTokens: member.grantTokens,
  DryRun: member.dryRun,
  DryRunModifiers: member.dryRunModifiers,
};

export const reEncrypt = define({
  name: 'ReEncrypt',
  effect: 'use',
  crossAccount: true,
  quota: 'cryptographic',
  input: structure(reEncryptMembers),
  output: structure({
    CiphertextBlob: required(member.ciphertextBlob),
    SourceKeyId: required(member.keyId),
    KeyId: required(member.keyId),
    SourceEncryptionAlgorithm: required(member.algorithm),
    DestinationEncryptionAlgorithm: required(member.algorithm),
    SourceKeyMaterialId: required(member.keyMaterialId),
    DestinationKeyMaterialId: required(member.keyMaterialId),
  }),
  resources: {
    source: on.keyOrCiphertext('kms:ReEncryptFrom', 'SourceKeyId', 'CiphertextBlob', {
      accepts: 'usable',
      conditions: {
        'kms:EncryptionAlgorithm': 'SourceEncryptionAlgorithm',
        'kms:EncryptionContext': 'SourceEncryptionContext',
      },
    }),
    destination: on.key('kms:ReEncryptTo', 'DestinationKeyId', {
      accepts: 'usable',
      usage: 'ENCRYPT_DECRYPT',
      aliases: true,
      conditions: {
        'kms:EncryptionAlgorithm': 'DestinationEncryptionAlgorithm',
        'kms:EncryptionContext': 'DestinationEncryptionContext',
      },
    }),
  },
  validate: (input) => requireSource(input, input.SourceKeyId, 'sourceKeyId'),
  record: {
    request: [
      'SourceKeyId',
      'SourceEncryptionContext',
      'SourceEncryptionAlgorithm',
      'DestinationKeyId',
      'DestinationEncryptionContext',
      'DestinationEncryptionAlgorithm',
      'DryRun',
      'DryRunModifiers',
    ],
    additional: ['SourceKeyMaterialId', 'DestinationKeyMaterialId'],
  },
  check: (input, { keys }) => {
    requireAlgorithm(keys.source, input.SourceEncryptionAlgorithm);
    requireAlgorithm(keys.destination, input.DestinationEncryptionAlgorithm);
    if (!ignoresCiphertext(input)) opening(keys.source, partsOf(input));
  },
  rehearse: (input, call) => tryToOpen(input, input.SourceEncryptionContext, call.keys.source, call),
  run: async (input, call) => {
    const { source } = call.keys;
    const parts = partsOf(input);
    const from = opening(source, parts);
    const { key: destination, material: to } = await sealing(call.services, call.keys.destination);
    const sealed = await move(
      call,
      { key: source, ckaId: from.ckaId, aad: from.aad(input.SourceEncryptionContext), sealed: parts.sealed },
      { key: destination, ckaId: to.ckaId, aad: to.aad(input.DestinationEncryptionContext) },
    );
    return {
      CiphertextBlob: Buffer.concat([to.header, sealed]),
      SourceKeyId: arnOfKey(source),
      KeyId: arnOfKey(destination),
      SourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      DestinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      SourceKeyMaterialId: from.backing.materialId,
      DestinationKeyMaterialId: to.backing.materialId,
    };
  },
});

type CiphertextInput = Pick<ValueOf<Structure<typeof decryptMembers>>, 'CiphertextBlob' | 'DryRun' | 'DryRunModifiers'>;

const ignoresCiphertext = (input: CiphertextInput): boolean =>
  input.DryRun && input.DryRunModifiers.includes('IGNORE_CIPHERTEXT');

/** The key is named, or the ciphertext says which it is. `at`: the member that names it, as AWS prints it. */
function requireSource(input: CiphertextInput, keyId: string | undefined, at: string): void {
  const ignored = ignoresCiphertext(input);
  if (input.CiphertextBlob === undefined && !ignored) throw nullMember('ciphertextBlob');
  if (keyId === undefined && ignored) throw nullMember(at);
}

const nullMember = (at: string): BridgeError => new BridgeError('ValidationException', validationMessage([isNull(at)]));

/** InvalidCiphertextException also when the encryption context differs. */
async function open(input: CiphertextInput, context: EncryptionContext, key: Key, { services, accountId }: Call) {
  const parts = partsOf(input);
  const material = opening(key, parts);
  const plaintext = await services.tokens
    .of(key, accountId)
    .decrypt(material.ckaId, material.aad(context), parts.sealed);
  return { material, plaintext };
}

interface Place {
  readonly key: Key;
  readonly ckaId: Buffer;
  readonly aad: Buffer;
}

/** One token does both by itself; between two the plaintext comes through here, as that of a Decrypt does. */
async function move({ services: { tokens }, accountId }: Call, from: Place & { readonly sealed: Sealed }, to: Place) {
  const source = tokens.of(from.key, accountId);
  if (isSameKeyStore(from.key, to.key)) return source.reEncrypt(from, to);
  const destination = tokens.of(to.key, accountId);
  const plaintext = await source.decrypt(from.ckaId, from.aad, from.sealed);
  try {
    return await destination.encrypt(to.ckaId, to.aad, plaintext);
  } finally {
    plaintext.reveal().fill(0);
  }
}

/** Only the token can tell whether context and ciphertext belong together. */
async function tryToOpen(input: CiphertextInput, context: EncryptionContext, key: Key, call: Call): Promise<void> {
  if (ignoresCiphertext(input)) return;
  const { plaintext } = await open(input, context, key, call);
  plaintext.reveal().fill(0);
}

function partsOf(input: CiphertextInput): CiphertextParts {
  const parts = input.CiphertextBlob && parseCiphertext(input.CiphertextBlob);
  if (parts === undefined) throw new BridgeError('InvalidCiphertextException');
  return parts;
}
