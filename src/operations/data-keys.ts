// GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom: bytes from the token's generator.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey } from '../model/key.js';
import { defaultKeyStore } from '../model/key-store.js';
import { required, structure, type Structure, type ValueOf } from '../shapes/shape.js';
import { refuseRecipient } from './cryptography.js';
import { define } from './define.js';
import { sealing } from './material.js';
import * as member from './members.js';
import * as on from './resources.js';

const dataKeyMembers = {
  KeyId: required(member.keyId),
  EncryptionContext: member.encryptionContext,
  NumberOfBytes: member.numberOfBytes,
  KeySpec: member.dataKeySpec,
  GrantTokens: member.grantTokens,
  DryRun: member.dryRun,
};

const dataKeyRules = {
  accepts: 'usable',
  usage: 'ENCRYPT_DECRYPT',
  aliases: true,
  conditions: { 'kms:EncryptionContext': 'EncryptionContext' },
} as const;

type Length = Pick<ValueOf<Structure<typeof dataKeyMembers>>, 'NumberOfBytes' | 'KeySpec'>;

/** Exactly one of the two says how long the data key is. */
function lengthOf(input: Length): number {
  if ((input.NumberOfBytes === undefined) === (input.KeySpec === undefined)) {
    throw new BridgeError('ValidationException', 'Please specify either number of bytes or key spec.');
  }
  return input.NumberOfBytes ?? (input.KeySpec === 'AES_128' ? 16 : 32);
}

export const generateDataKey = define({
  name: 'GenerateDataKey',
  effect: 'use',
  crossAccount: true,
  quota: 'cryptographic',
  input: structure({ ...dataKeyMembers, Recipient: member.recipient }),
  output: structure({
    CiphertextBlob: required(member.ciphertextBlob),
    Plaintext: required(member.plaintext),
    KeyId: required(member.keyId),
    KeyMaterialId: required(member.keyMaterialId),
  }),
  resources: { key: on.key('kms:GenerateDataKey', 'KeyId', dataKeyRules) },
  record: {
    request: ['KeyId', 'EncryptionContext', 'NumberOfBytes', 'KeySpec', 'DryRun'],
    additional: ['KeyMaterialId'],
  },
  check: (input) => {
    lengthOf(input);
    refuseRecipient(input.Recipient);
  },
  run: async (input, call) => {
    const { key, material } = await sealing(call.services, call.keys.key);
    const aad = material.aad(input.EncryptionContext);
    const { plaintext, sealed } = await call.services.tokens
      .of(key, call.accountId)
      .generateDataKey(material.ckaId, aad, lengthOf(input));
    return {
      CiphertextBlob: Buffer.concat([material.header, sealed]),
      Plaintext: plaintext,
      KeyId: arnOfKey(key),
      KeyMaterialId: material.backing.materialId,
    };
  },
});

export const generateDataKeyWithoutPlaintext = define({
  name: 'GenerateDataKeyWithoutPlaintext',
  effect: 'use',
  crossAccount: true,
  quota: 'cryptographic',
  input: structure(dataKeyMembers),
  output: structure({
    CiphertextBlob: required(member.ciphertextBlob),
    KeyId: required(member.keyId),
    KeyMaterialId: required(member.keyMaterialId),
  }),
  resources: { key: on.key('kms:GenerateDataKeyWithoutPlaintext', 'KeyId', dataKeyRules) },
  record: {
    request: ['KeyId', 'EncryptionContext', 'NumberOfBytes', 'KeySpec', 'DryRun'],
    additional: ['KeyMaterialId'],
  },
  check: (input) => void lengthOf(input),
  run: async (input, call) => {
    const { key, material } = await sealing(call.services, call.keys.key);
    const aad = material.aad(input.EncryptionContext);
    const sealed = await call.services.tokens
      .of(key, call.accountId)
      .generateDataKeyWithoutPlaintext(material.ckaId, aad, lengthOf(input));
    return {
      CiphertextBlob: Buffer.concat([material.header, sealed]),
      KeyId: arnOfKey(key),
      KeyMaterialId: material.backing.materialId,
    };
  },
});

export const generateRandom = define({
  name: 'GenerateRandom',
  effect: 'use',
  crossAccount: false,
  quota: 'cryptographic',
  input: structure({
    NumberOfBytes: member.numberOfBytes,
    CustomKeyStoreId: member.customKeyStoreId,
    Recipient: member.recipient,
  }),
  output: structure({ Plaintext: required(member.plaintext) }),
  resources: { account: on.account('kms:GenerateRandom') },
  record: { request: [] },
  check: (input) => {
    if (input.NumberOfBytes === undefined) throw new BridgeError('ValidationException', 'NumberOfBytes is required.');
    refuseRecipient(input.Recipient);
    if (input.CustomKeyStoreId !== undefined) {
      throw new BridgeError(
        'UnsupportedOperationException',
        'CustomKeyStoreId is not supported by this version of hsm-bridge.',
      );
    }
  },
  run: async (input, { services, region, accountId }) => ({
    Plaintext: await services.tokens.of(defaultKeyStore(region), accountId).random(input.NumberOfBytes ?? 0),
  }),
});
