// The one error class of the line and its closed table of codes. Messages carry no secret and no input bytes beyond what AWS echoes.

/** Who has to act: the caller (his request) or the service (us, the token, the disk). `retry`: the same request may succeed later. */
interface ErrorTraits {
  readonly blame: 'caller' | 'service';
  readonly retry: boolean;
}

const caller = { blame: 'caller', retry: false } as const;

/** Codes are the wire names of AWS KMS (errors of the service model and AWS's common errors). */
export const errorCodes = {
  AccessDeniedException: caller,
  AlreadyExistsException: caller,
  DependencyTimeoutException: { blame: 'service', retry: true },
  DisabledException: caller,
  DryRunOperationException: caller,
  ExpiredTokenException: caller,
  IncompleteSignatureException: caller,
  IncorrectKeyException: caller,
  InvalidAliasNameException: caller,
  InvalidArnException: caller,
  InvalidCiphertextException: caller,
  InvalidGrantTokenException: caller,
  InvalidKeyUsageException: caller,
  InvalidMarkerException: caller,
  InvalidSignatureException: caller,
  KMSInternalException: { blame: 'service', retry: true },
  KMSInvalidStateException: caller,
  KeyUnavailableException: { blame: 'service', retry: true },
  LimitExceededException: caller,
  MalformedPolicyDocumentException: caller,
  MissingAuthenticationTokenException: caller,
  NotFoundException: caller,
  RequestEntityTooLargeException: caller,
  SerializationException: caller,
  TagException: caller,
  ThrottlingException: { blame: 'caller', retry: true },
  UnknownOperationException: caller,
  UnrecognizedClientException: caller,
  UnsupportedOperationException: caller,
  ValidationException: caller,
} as const satisfies Record<string, ErrorTraits>;

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
