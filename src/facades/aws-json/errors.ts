// How each error of the line looks on AWS's JSON 1.1 wire.
import type { BridgeError, ErrorCode } from '../../kernel/errors.js';

const status = {
  DependencyTimeoutException: 500,
  KMSInternalException: 500,
  KeyUnavailableException: 500,
  RequestEntityTooLargeException: 413,
} as const satisfies Partial<Record<ErrorCode, number>>;

export function statusOf(code: ErrorCode): number {
  return code in status ? status[code as keyof typeof status] : 400;
}

/** `{"__type": …, "message": …}`; AWS leaves the message out for some codes, and so does the line. */
export function errorBody(error: BridgeError): string {
  return JSON.stringify({ __type: error.code, message: error.publicMessage });
}
