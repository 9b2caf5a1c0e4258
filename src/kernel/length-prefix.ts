// Bytes behind their lengths, so that no part can be taken for a piece of another. It is hashed, sealed and bound: it never changes.

const lengthBytes = 4;

/** Each part behind its length, 32 bits, big endian; all in one Buffer. */
export function prefixed(...parts: readonly Buffer[]): Buffer {
  let bytes = 0;
  for (const part of parts) bytes += lengthBytes + part.length;
  const all = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const part of parts) at = all.writeUInt32BE(part.length, at) + part.copy(all, at + lengthBytes);
  return all;
}
