// An input that each operation takes, made from the model and from what is in the world. Only what the model does not say stands here.
import { matching } from './patterns.js';
import { type Operation, type Reference, shapeOf, structureOf } from './service-model.js';
import type { Input, World } from './world.js';

/** Values that a shape's name stands for. */
type Things = Readonly<Record<string, unknown>>;

/** Members beyond the required ones, or other values for them, without which the operation would refuse the input. */
const special: Readonly<Record<string, (world: World, keyId: string) => Promise<Input>>> = {
  CancelKeyDeletion: async (world) => ({ KeyId: await world.leavingKey() }),
  Decrypt: async (world, keyId) => ({ CiphertextBlob: await world.ciphertext(keyId) }),
  DeleteAlias: async (world, keyId) => ({ AliasName: await world.alias(keyId) }),
  GenerateDataKey: async () => ({ KeySpec: 'AES_256' }),
  GenerateDataKeyWithoutPlaintext: async () => ({ KeySpec: 'AES_256' }),
  GenerateMac: async (world) => ({ KeyId: await macKey(world), MacAlgorithm: 'HMAC_SHA_256' }),
  GenerateRandom: async () => ({ NumberOfBytes: 32 }),
  ReEncrypt: async (world, keyId) => ({ CiphertextBlob: await world.ciphertext(keyId) }),
  UpdateAlias: async (world, keyId) => ({ AliasName: await world.alias(keyId) }),
  VerifyMac: async (world) => {
    const input = { KeyId: await macKey(world), MacAlgorithm: 'HMAC_SHA_256', Message: 'YQ==' };
    return { ...input, Mac: (await world.ok('GenerateMac', input))['Mac'] };
  },
};

const macKey = async (world: World): Promise<string> =>
  (await world.key({ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' })).id;

/** Its required members, with what is special to the operation. What it names is made for it. */
export async function baseOf(world: World, operation: Operation): Promise<Input> {
  const { id } = await world.key();
  const things: Things = { KeyIdType: id, AliasNameType: world.newAliasName() };
  const { required = [], members } = structureOf(operation.input);
  const base = Object.fromEntries(required.map((name) => [name, sample(members[name]!, things)]));
  return { ...base, ...(await special[operation.name]?.(world, id)) };
}

/** A value within the shape's constraints; of a structure, with all members. */
export function sample(reference: Reference, things: Things = {}): unknown {
  if (reference.shape in things) return things[reference.shape];
  const shape = shapeOf(reference);
  switch (shape.type) {
    case 'structure':
      return Object.fromEntries(Object.entries(shape.members).map(([name, member]) => [name, sample(member, things)]));
    case 'list':
      return [sample(shape.member, things)];
    case 'map':
      return { name: sample(shape.value, things) };
    case 'string':
      return shape.enum?.[0] ?? textOf(shape.pattern, Math.max(1, shape.min ?? 1));
    case 'blob':
      return bytes(Math.max(1, shape.min ?? 1));
    case 'boolean':
      return false;
    default:
      return Math.max(1, shape.min ?? 1);
  }
}

export const bytes = (length: number): string => Buffer.alloc(length, 0xa5).toString('base64');

/** One that the pattern lets through, where there is one of the length. */
export function textOf(pattern: string | undefined, length: number): string {
  if (pattern === undefined || length === 0) return 'a'.repeat(length);
  return matching(pattern, length);
}
