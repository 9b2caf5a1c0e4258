// What a token can hold for us and do with it, by names of our own. The token host has a row of a table for each (src/token/host/kinds.ts).
import { keySpecs, type SpecNeed, type SpecToken } from './key-specs.js';

/** A key as the token makes it: type, length and what it may be used for. HMAC_256 is the daemon's own, too. */
export type TokenKind = SpecToken | 'HMAC_256';
export const tokenKinds: readonly TokenKind[] = [
  ...new Set<TokenKind>([...Object.values(keySpecs).map(({ token }) => token), 'HMAC_256']),
];

/** What a token does with a key; its names for AWS's algorithms are AWS's. HMAC_SHA_256 seals rows, too. */
export type TokenAlgorithm = SpecNeed | 'HMAC_SHA_256';

export interface TokenInfo {
  readonly label: string;
  readonly serial: string;
  /** Those that worked when the token host started: with the published answers where the token takes keys of known value. */
  readonly algorithms: readonly TokenAlgorithm[];
  /** How many calls that use keys it takes at once. */
  readonly callsInFlight: number;
}
