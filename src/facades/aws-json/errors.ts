// How each error of the line looks on AWS's JSON 1.1 wire.
import type { BridgeError, ErrorCode } from '../../kernel/errors.js';

/** AWS answers 400 to what is the caller's fault, but for what is too large, and 500 to what is the service's. */
const statuses = {
  AccessDeniedException: 400,
  AlreadyExistsException: 400,
  DependencyTimeoutException: 500,
  DisabledException: 400,
  DryRunOperationException: 400,
  IncompleteSignatureException: 400,
  IncorrectKeyException: 400,
  InvalidAliasNameException: 400,
  InvalidArnException: 400,
  InvalidCiphertextException: 400,
  InvalidGrantTokenException: 400,
  InvalidKeyUsageException: 400,
  InvalidMarkerException: 400,
  InvalidSignatureException: 400,
  KMSInternalException: 500,
  KMSInvalidMacException: 400,
  KMSInvalidStateException: 400,
  KeyUnavailableException: 500,
  LimitExceededException: 400,
  MalformedPolicyDocumentException: 400,
  MissingAuthenticationTokenException: 400,
  NotFoundException: 400,
  RequestEntityTooLargeException: 413,
  SerializationException: 400,
  TagException: 400,
  ThrottlingException: 400,
  UnknownOperationException: 400,
  UnrecognizedClientException: 400,
  UnsupportedOperationException: 400,
  ValidationException: 400,
} as const satisfies Record<ErrorCode, 400 | 413 | 500>;

export const statusOf = (code: ErrorCode): number => statuses[code];

/** `{"__type": …, "message": …}`; AWS leaves the message out for some codes, and so does the line. */
export function errorBody(error: BridgeError): string {
  return JSON.stringify({ __type: error.code, message: error.publicMessage });
}
