// Which algorithms a key can be used with: those that its spec has for its usage.
import { BridgeError } from '../kernel/errors.js';
import type { Key } from '../model/key.js';
import { algorithmsOf } from '../model/key-specs.js';

/** InvalidKeyUsageException, `Algorithm A is incompatible with key spec S.` Asked after the key's usage and state, as AWS does. */
export function requireAlgorithm({ spec, usage }: Key, algorithm: string): void {
  const known: readonly string[] = algorithmsOf(spec, usage) ?? [];
  if (known.includes(algorithm)) return;
  throw new BridgeError('InvalidKeyUsageException', `Algorithm ${algorithm} is incompatible with key spec ${spec}.`);
}
