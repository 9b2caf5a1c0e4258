// How each error of the line looks on AWS's JSON 1.1 wire.
import { errorCodes, type BridgeError, type ErrorCode } from '../../kernel/errors.js';

/** AWS answers 400 to what is the caller's fault and 500 to what is the service's, with these exceptions. */
const exceptions: { readonly [code in ErrorCode]?: number } = { RequestEntityTooLargeException: 413 };

export function statusOf(code: ErrorCode): number {
  return exceptions[code] ?? (errorCodes[code] === 'service' ? 500 : 400);
}

/** `{"__type": …, "message": …}`; AWS leaves the message out for some codes, and so does the line. */
export function errorBody(error: BridgeError): string {
  return JSON.stringify({ __type: error.code, message: error.publicMessage });
}
