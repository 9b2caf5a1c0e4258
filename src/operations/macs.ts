// GenerateMac and VerifyMac: HMACs under keys in the token, which are computed and compared where the key is.
import { BridgeError } from '../kernel/errors.js';
import { arnOfKey, ckaIdOf, currentBackingKey } from '../model/key.js';
import { boolean, required, structure, type Structure, type ValueOf } from '../shapes/shape.js';
import { requireAlgorithm } from './algorithm.js';
import { define, type Call } from './define.js';
import * as member from './members.js';
import * as on from './resources.js';

const macMembers = {
  KeyId: required(member.keyId),
  Message: required(member.plaintext),
  MacAlgorithm: required(member.macAlgorithm),
  GrantTokens: member.grantTokens,
  DryRun: member.dryRun,
};

const macRules = {
  accepts: 'usable',
  usage: 'GENERATE_VERIFY_MAC',
  aliases: true,
  conditions: { 'kms:MacAlgorithm': 'MacAlgorithm' },
} as const;

export const generateMac = define({
  name: 'GenerateMac',
  effect: 'use',
  crossAccount: true,
  quota: 'cryptographic',
  input: structure(macMembers),
  output: structure({
    Mac: required(member.mac),
    MacAlgorithm: required(member.macAlgorithm),
    KeyId: required(member.keyId),
  }),
  resources: { key: on.key('kms:GenerateMac', 'KeyId', macRules) },
  record: { request: ['KeyId', 'MacAlgorithm', 'DryRun'] },
  check: ({ MacAlgorithm }, { keys }) => requireAlgorithm(keys.key, MacAlgorithm),
  run: async ({ Message, MacAlgorithm }, { services, accountId, keys: { key } }) => {
    const ckaId = ckaIdOf(currentBackingKey(key).materialId);
    const Mac = await services.tokens.of(key, accountId).generateMac(ckaId, MacAlgorithm, Message);
    return { Mac, MacAlgorithm, KeyId: arnOfKey(key) };
  },
});

const verifyMembers = { ...macMembers, Mac: required(member.mac) };

const verifyResources = { key: on.key('kms:VerifyMac', 'KeyId', macRules) };

export const verifyMac = define({
  name: 'VerifyMac',
  effect: 'use',
  crossAccount: true,
  quota: 'cryptographic',
  input: structure(verifyMembers),
  output: structure({
    KeyId: required(member.keyId),
    MacValid: required(boolean),
    MacAlgorithm: required(member.macAlgorithm),
  }),
  resources: verifyResources,
  record: { request: ['KeyId', 'MacAlgorithm', 'DryRun'] },
  check: ({ MacAlgorithm }, { keys }) => requireAlgorithm(keys.key, MacAlgorithm),
  rehearse: requireValid,
  run: async (input, call) => {
    await requireValid(input, call);
    return { KeyId: arnOfKey(call.keys.key), MacValid: true, MacAlgorithm: input.MacAlgorithm };
  },
});

/** KMSInvalidMacException, to which AWS has no message. */
async function requireValid(
  { Message, MacAlgorithm, Mac }: ValueOf<Structure<typeof verifyMembers>>,
  { services, accountId, keys: { key } }: Call<typeof verifyResources>,
): Promise<void> {
  const ckaId = ckaIdOf(currentBackingKey(key).materialId);
  const token = services.tokens.of(key, accountId);
  if (!(await token.verifyMac(ckaId, MacAlgorithm, Message, Mac))) throw new BridgeError('KMSInvalidMacException');
}
