// The audit log as the line sees it: append, and go on only when it is on disk.

/** `event`: one call's record. `intent`: written before an operation that changes state; its `event` follows with the same requestID. */
export type AuditKind = 'event' | 'intent';

export interface AuditLog {
  /** Throws KMSInternal at once when the log cannot be written now, so that the token is not touched for nothing. */
  requireWritable(): void;
  /**
   * Appends one CloudTrail-shaped record (serialised JSON, one line, at most 128 KiB) to the chain. Resolves when it is on disk
   * (fdatasync); rejects with KMSInternal when it is not and will not be: then no answer but an error may leave.
   */
  append(kind: AuditKind, record: string): Promise<void>;
  /**
   * For calls that failed before anybody was authenticated: the first of a second are appended as they are, the rest are counted
   * by source address and error code and appended as one record a second each, so that a flood cannot fill the disk.
   */
  appendUnauthenticated(sourceIp: string, errorCode: string, record: string): Promise<void>;
}
