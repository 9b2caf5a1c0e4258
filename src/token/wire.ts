// The statuses of answers between client and token host. docs/formats/token-ipc.md is the prose; what calls carry is in calls.ts. Numbers
// are never given a second meaning.

export const statuses = {
  ok: 0,
  internal: 2,
  keyUnavailable: 3,
  invalidCiphertext: 4,
  daemonKeysExist: 5,
  /** No answer, whatever its request id: the host works, on another gateway's requests. */
  alive: 6,
  /** To generateKey: the token is well, and has no object with this CKA_ID. It may be full. */
  nothingMade: 7,
  /** The key is one of the daemon's own. */
  daemonKeyMissing: 8,
} as const;

export type Status = keyof typeof statuses;
