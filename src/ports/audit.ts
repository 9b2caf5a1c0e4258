// The audit log as the line sees it: append, and go on only when it is on disk.

/** `event`: one call's record. `intent`: written before an operation that changes state; its `event` follows with the same requestID. */
export type AuditKind = 'event' | 'intent';

export interface AuditLog {
  /**
   * Throws at once when the log cannot take a record now, so that the token is not touched for nothing: KMSInternal when it cannot be
   * written, Throttling when too much waits to be written.
   */
  requireWritable(): void;
  /**
   * Appends one CloudTrail-shaped record (serialised JSON, one line, at most 128 KiB) to the chain. Resolves when it is on disk
   * (fdatasync); rejects with KMSInternal, or with Throttling when the queue is full, when it is not and will not be: then no answer
   * but an error may leave.
   */
  append(kind: AuditKind, record: string): Promise<void>;
  /**
   * For calls that failed before anybody was authenticated: the first of a second and of an hour are appended as they are, the rest are
   * counted by source address and error code, and the counts appended together as one record a second, or a minute in a long flood, so
   * that nobody can fill the disk. Rejects as `append` does; resolves at once for a call that was only counted.
   */
  appendUnauthenticated(sourceIp: string, errorCode: string, record: string): Promise<void>;
  /**
   * For calls of an authenticated account that are over its budget, before any work was done for them: its first of a second is appended
   * as it is, the rest are counted by source address and reason. Rejects and resolves as `appendUnauthenticated` does.
   */
  appendThrottled(accountId: string, sourceIp: string, reason: string, record: string): Promise<void>;
}
