// The encryption context's one canonical form. Two contexts are equal exactly when their bytes here are equal.
import { prefixed } from '../kernel/length-prefix.js';

/** Names and values as the caller sent them: case-sensitive, order without meaning (AWS KMS, "Encryption context"). */
export type EncryptionContext = Readonly<Record<string, string>>;

/**
 * Pairs sorted by the UTF-8 bytes of their names; each string as u32 length (big endian) and its UTF-8 bytes.
 * Length prefixes make the form injective: no choice of names and values can imitate another context.
 */
export function canonicalContext(context: EncryptionContext): Buffer {
  const pairs = Object.entries(context).map(([name, value]) => [Buffer.from(name), Buffer.from(value)] as const);
  pairs.sort(([a], [b]) => Buffer.compare(a, b));
  return prefixed(...pairs.flat());
}
