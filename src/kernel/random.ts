// Identifiers and jitter as the line draws them. Key material and GenerateRandom never come from here: they come from the token.
import { randomBytes, randomUUID } from 'node:crypto';

export interface Random {
  bytes(length: number): Buffer;
  /** RFC 9562 version 4, lower case. */
  uuid(): string;
}

export const systemRandom: Random = { bytes: (length) => randomBytes(length), uuid: () => randomUUID() };
