// The seam between the line and façades: a protocol is what implements this, and the line knows of none.
import type { Service } from '../model/service.js';
import type { AnyOperation, Input } from '../operations/define.js';
import type { Caller } from '../ports/authenticator.js';

/**
 * What a façade hands in: one call in its own protocol, nothing of it believed. The line asks in this order, each once, and a later
 * question only after the earlier answers; all of them throw BridgeError when the caller is to hear of it.
 */
export interface Incoming {
  readonly sourceIp: string;
  readonly userAgent: string;
  /** Whose API it is for, where no operation is known. */
  readonly service: Service;
  /** As it may stand in the audit: bounded and of harmless characters. */
  readonly operationName: string | undefined;
  /** Of the body, as the account's budget counts it. */
  readonly bodyBytes: number;
  /** Who calls, proven. Throws also why the façade could not take the request in (no good claim, too large, too many). */
  authenticate(): Promise<Caller>;
  /** Told when that succeeded. */
  proved(caller: Caller): void;
  operation(caller: Caller): AnyOperation;
  /** Apart from `operation`, so that the record of an input that cannot be read names the operation. */
  input(operation: AnyOperation): Input;
  /** The access key that somebody names who could not be authenticated; undefined when it has not the form of one. */
  claimedKeyId(): string | undefined;
}
