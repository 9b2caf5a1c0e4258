// What a token can hold for us and do with it, by names of our own. The token host has a row of a table for each (src/token/host/kinds.ts).

/** A key as the token makes it: type, length and what it may be used for. */
export const tokenKinds = ['AES_256', 'HMAC_256'] as const;
export type TokenKind = (typeof tokenKinds)[number];

/** What a token does with a key. */
export type TokenAlgorithm = 'AES_256_GCM' | 'HMAC_SHA_256';

export interface TokenInfo {
  readonly label: string;
  readonly serial: string;
  /** Those that worked when the token host started: with the published answers where the token takes keys of known value. */
  readonly algorithms: readonly TokenAlgorithm[];
}
