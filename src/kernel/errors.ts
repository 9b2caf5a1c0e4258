// The one error class of the line and its closed table of codes. Messages carry no secret and no input bytes beyond what AWS echoes.

/**
 * Codes are the wire names of AWS KMS (errors of the service model and AWS's common errors). Each says who has to act: the caller (its
 * request) or the service (us, the token, the disk).
 */
export const errorCodes = {
  AccessDeniedException: 'caller',
  AlreadyExistsException: 'caller',
  DependencyTimeoutException: 'service',
  DisabledException: 'caller',
  DryRunOperationException: 'caller',
  IncompleteSignatureException: 'caller',
  IncorrectKeyException: 'caller',
  InvalidAliasNameException: 'caller',
  InvalidArnException: 'caller',
  InvalidCiphertextException: 'caller',
  InvalidGrantTokenException: 'caller',
  InvalidKeyUsageException: 'caller',
  InvalidMarkerException: 'caller',
  InvalidSignatureException: 'caller',
  KMSInternalException: 'service',
  KMSInvalidMacException: 'caller',
  KMSInvalidStateException: 'caller',
  KeyUnavailableException: 'service',
  LimitExceededException: 'caller',
  MalformedPolicyDocumentException: 'caller',
  MissingAuthenticationTokenException: 'caller',
  NotFoundException: 'caller',
  RequestEntityTooLargeException: 'caller',
  SerializationException: 'caller',
  TagException: 'caller',
  ThrottlingException: 'caller',
  UnknownOperationException: 'caller',
  UnrecognizedClientException: 'caller',
  UnsupportedOperationException: 'caller',
  ValidationException: 'caller',
} as const satisfies Record<string, 'caller' | 'service'>;

export type ErrorCode = keyof typeof errorCodes;

/** An answer the caller is meant to read. AWS leaves the message out for some codes: then it is undefined. */
export class BridgeError extends Error {
  readonly code: ErrorCode;
  readonly publicMessage: string | undefined;

  constructor(code: ErrorCode, message?: string, options?: ErrorOptions) {
    super(message ?? code, options);
    this.name = 'BridgeError';
    this.code = code;
    this.publicMessage = message;
  }
}
