// Cases that the model lets through and the world does not: keys, aliases, ciphertexts and markers that are missing, closed, another's or
// nonsense. What they are answered is other tests' matter; here it must be an error that the model knows.
import { accounts, region } from '../../support/line.js';
import type { Case } from './cases.js';
import { type Operation, structureOf } from './service-model.js';
import type { Input, World } from './world.js';

/** By a shape's name: what may stand in its place. */
export type Oddities = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const missingId = '6f1d7e1c-0b52-4c53-9a5e-3f6a35d0a0a1';
const keyArn = (id: string, inRegion = region, accountId: string = accounts.first): string =>
  `arn:aws:kms:${inRegion}:${accountId}:key/${id}`;
const tagsOf = (count: number, key = 'k') =>
  Array.from({ length: count }, (_, n) => ({ TagKey: `${key}${n}`, TagValue: '' }));

export async function makeOddities(world: World): Promise<Oddities> {
  const [key, disabled, leaving] = [await world.key(), await world.disabledKey(), await world.leavingKey()];
  const theirs = await world.key({}, accounts.second);
  const alias = await world.alias(key.id);
  const ciphertext = await world.ciphertext(key.id);
  const broken = Buffer.from(ciphertext, 'base64');
  broken.writeUInt8(broken.readUInt8(broken.length - 1) ^ 1, broken.length - 1);
  return {
    KeyIdType: {
      disabled,
      'pending deletion': leaving,
      missing: missingId,
      nonsense: 'nonsense',
      'missing, by ARN': keyArn(missingId),
      'nonsense, by ARN': keyArn('nonsense'),
      'in another Region': keyArn(key.id, 'us-east-1'),
      'no ARN of KMS': 'arn:aws:iam::000000000000:root',
      'a broken ARN': 'arn:aws:kms',
      "another account's": theirs.arn,
      "another account's, missing": keyArn(missingId, region, accounts.second),
      'an alias': alias,
      'an alias, by ARN': `arn:aws:kms:${region}:${accounts.first}:${alias}`,
      'a missing alias': 'alias/missing',
      "another account's alias": `arn:aws:kms:${region}:${accounts.second}:alias/missing`,
    },
    AliasNameType: {
      missing: 'alias/missing',
      existing: alias,
      reserved: 'alias/aws/mine',
      'without its prefix': 'mine',
      'nothing but its prefix': 'alias/',
      'with a colon': 'alias/a:b',
    },
    CiphertextType: {
      nonsense: Buffer.from('nonsense').toString('base64'),
      changed: broken.toString('base64'),
      short: Buffer.from(ciphertext, 'base64').subarray(0, 20).toString('base64'),
      "another account's": await world.ciphertext(theirs.id, accounts.second),
    },
    EncryptionContextType: { another: { name: 'another' }, 'too large': { name: 'x'.repeat(9000) } },
    MarkerType: { nonsense: 'nonsense' },
    PolicyNameType: { another: 'another' },
    PolicyType: {
      'no JSON': 'nonsense',
      'without a statement': '{}',
      'without its account': JSON.stringify({
        Version: '2012-10-17',
        Statement: { Effect: 'Allow', Principal: { AWS: accounts.second }, Action: 'kms:*', Resource: '*' },
      }),
    },
    TagList: {
      'twice the same': [...tagsOf(1), ...tagsOf(1)],
      'too many': tagsOf(51),
      reserved: tagsOf(1, 'aws:'),
      'of odd characters': tagsOf(1, '!'),
    },
    TagKeyList: { reserved: ['aws:mine'], 'too many': Array.from({ length: 1001 }, (_, n) => `k${n}`) },
  };
}

export function situationsOf(operation: Operation, base: Input, oddities: Oddities): readonly Case[] {
  const { members } = structureOf(operation.input);
  return Object.entries(members).flatMap(([name, { shape }]) =>
    Object.entries(oddities[shape] ?? {}).map(([what, value]) => ({
      name: `${name} is ${what}`,
      json: { ...base, [name]: value },
    })),
  );
}
