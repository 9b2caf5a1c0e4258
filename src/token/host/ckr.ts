// Every return value of PKCS#11 v2.40 (§5.1 and pkcs11t.h), and what it means here. A value that is not in the table makes the token
// suspect, and a PIN is never tried again.

/** What can no longer be trusted: the cached handle, the session, the login, or the library's hold on the token. */
export type Loss = 'nothing' | 'handle' | 'session' | 'login' | 'token';

export interface CkrMeaning {
  readonly hears: 'KMSInternalException' | 'KeyUnavailableException' | 'InvalidCiphertextException';
  readonly lost: Loss;
  /** The call had no effect, so that it may be made once more after the handle or session was replaced. */
  readonly again: boolean;
}

const internal = 'KMSInternalException';

/** Says that all is as it should be. */
const fine = { hears: internal, lost: 'nothing', again: false } as const;
/** The token did not want this call. Its operation may still be active: the session is replaced. */
const refused = { hears: internal, lost: 'session', again: false } as const;
const staleSession = { hears: internal, lost: 'session', again: true } as const;
const staleHandle = { hears: 'KeyUnavailableException', lost: 'handle', again: true } as const;
/** The tag or the length does not match; C_Decrypt has ended the operation (§5.9). */
const ciphertext = { hears: 'InvalidCiphertextException', lost: 'nothing', again: false } as const;
/** Another C_Login would be needed, and a process makes one in its life. */
const loggedOut = { hears: internal, lost: 'login', again: false } as const;
const suspect = { hears: internal, lost: 'token', again: false } as const;

export const ckrTable = {
  CKR_OK: [0x000, fine],
  CKR_CANCEL: [0x001, refused],
  CKR_HOST_MEMORY: [0x002, suspect],
  CKR_SLOT_ID_INVALID: [0x003, suspect],
  CKR_GENERAL_ERROR: [0x005, suspect],
  CKR_FUNCTION_FAILED: [0x006, suspect],
  CKR_ARGUMENTS_BAD: [0x007, refused],
  CKR_NO_EVENT: [0x008, fine],
  CKR_NEED_TO_CREATE_THREADS: [0x009, suspect],
  CKR_CANT_LOCK: [0x00a, suspect],
  CKR_ATTRIBUTE_READ_ONLY: [0x010, refused],
  CKR_ATTRIBUTE_SENSITIVE: [0x011, refused],
  CKR_ATTRIBUTE_TYPE_INVALID: [0x012, refused],
  CKR_ATTRIBUTE_VALUE_INVALID: [0x013, refused],
  CKR_ACTION_PROHIBITED: [0x01b, refused],
  CKR_DATA_INVALID: [0x020, refused],
  CKR_DATA_LEN_RANGE: [0x021, refused],
  CKR_DEVICE_ERROR: [0x030, suspect],
  // A full token serves the keys it has: restarting its host would not help.
  CKR_DEVICE_MEMORY: [0x031, refused],
  CKR_DEVICE_REMOVED: [0x032, suspect],
  CKR_ENCRYPTED_DATA_INVALID: [0x040, ciphertext],
  CKR_ENCRYPTED_DATA_LEN_RANGE: [0x041, ciphertext],
  CKR_FUNCTION_CANCELED: [0x050, refused],
  CKR_FUNCTION_NOT_PARALLEL: [0x051, refused],
  CKR_FUNCTION_NOT_SUPPORTED: [0x054, refused],
  CKR_KEY_HANDLE_INVALID: [0x060, staleHandle],
  CKR_KEY_SIZE_RANGE: [0x062, refused],
  CKR_KEY_TYPE_INCONSISTENT: [0x063, refused],
  CKR_KEY_NOT_NEEDED: [0x064, refused],
  CKR_KEY_CHANGED: [0x065, refused],
  CKR_KEY_NEEDED: [0x066, refused],
  CKR_KEY_INDIGESTIBLE: [0x067, refused],
  CKR_KEY_FUNCTION_NOT_PERMITTED: [0x068, refused],
  CKR_KEY_NOT_WRAPPABLE: [0x069, refused],
  CKR_KEY_UNEXTRACTABLE: [0x06a, refused],
  CKR_MECHANISM_INVALID: [0x070, refused],
  CKR_MECHANISM_PARAM_INVALID: [0x071, refused],
  CKR_OBJECT_HANDLE_INVALID: [0x082, staleHandle],
  CKR_OPERATION_ACTIVE: [0x090, staleSession],
  CKR_OPERATION_NOT_INITIALIZED: [0x091, refused],
  CKR_PIN_INCORRECT: [0x0a0, loggedOut],
  CKR_PIN_INVALID: [0x0a1, loggedOut],
  CKR_PIN_LEN_RANGE: [0x0a2, loggedOut],
  CKR_PIN_EXPIRED: [0x0a3, loggedOut],
  CKR_PIN_LOCKED: [0x0a4, loggedOut],
  CKR_SESSION_CLOSED: [0x0b0, staleSession],
  CKR_SESSION_COUNT: [0x0b1, refused],
  CKR_SESSION_HANDLE_INVALID: [0x0b3, staleSession],
  CKR_SESSION_PARALLEL_NOT_SUPPORTED: [0x0b4, refused],
  CKR_SESSION_READ_ONLY: [0x0b5, refused],
  CKR_SESSION_EXISTS: [0x0b6, refused],
  CKR_SESSION_READ_ONLY_EXISTS: [0x0b7, refused],
  CKR_SESSION_READ_WRITE_SO_EXISTS: [0x0b8, refused],
  CKR_SIGNATURE_INVALID: [0x0c0, refused],
  CKR_SIGNATURE_LEN_RANGE: [0x0c1, refused],
  CKR_TEMPLATE_INCOMPLETE: [0x0d0, refused],
  CKR_TEMPLATE_INCONSISTENT: [0x0d1, refused],
  CKR_TOKEN_NOT_PRESENT: [0x0e0, suspect],
  CKR_TOKEN_NOT_RECOGNIZED: [0x0e1, suspect],
  CKR_TOKEN_WRITE_PROTECTED: [0x0e2, refused],
  CKR_UNWRAPPING_KEY_HANDLE_INVALID: [0x0f0, staleHandle],
  CKR_UNWRAPPING_KEY_SIZE_RANGE: [0x0f1, refused],
  CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT: [0x0f2, refused],
  CKR_USER_ALREADY_LOGGED_IN: [0x100, fine],
  CKR_USER_NOT_LOGGED_IN: [0x101, loggedOut],
  CKR_USER_PIN_NOT_INITIALIZED: [0x102, loggedOut],
  CKR_USER_TYPE_INVALID: [0x103, refused],
  CKR_USER_ANOTHER_ALREADY_LOGGED_IN: [0x104, loggedOut],
  CKR_USER_TOO_MANY_TYPES: [0x105, loggedOut],
  CKR_WRAPPED_KEY_INVALID: [0x110, refused],
  CKR_WRAPPED_KEY_LEN_RANGE: [0x112, refused],
  CKR_WRAPPING_KEY_HANDLE_INVALID: [0x113, staleHandle],
  CKR_WRAPPING_KEY_SIZE_RANGE: [0x114, refused],
  CKR_WRAPPING_KEY_TYPE_INCONSISTENT: [0x115, refused],
  CKR_RANDOM_SEED_NOT_SUPPORTED: [0x120, refused],
  CKR_RANDOM_NO_RNG: [0x121, suspect],
  CKR_DOMAIN_PARAMS_INVALID: [0x130, refused],
  CKR_CURVE_NOT_SUPPORTED: [0x140, refused],
  CKR_BUFFER_TOO_SMALL: [0x150, refused],
  CKR_SAVED_STATE_INVALID: [0x160, refused],
  CKR_INFORMATION_SENSITIVE: [0x170, refused],
  CKR_STATE_UNSAVEABLE: [0x180, refused],
  CKR_CRYPTOKI_NOT_INITIALIZED: [0x190, suspect],
  CKR_CRYPTOKI_ALREADY_INITIALIZED: [0x191, fine],
  CKR_MUTEX_BAD: [0x1a0, suspect],
  CKR_MUTEX_NOT_LOCKED: [0x1a1, suspect],
  CKR_NEW_PIN_MODE: [0x1b0, loggedOut],
  CKR_NEXT_OTP: [0x1b1, loggedOut],
  CKR_EXCEEDED_MAX_ITERATIONS: [0x1b5, refused],
  CKR_FIPS_SELF_TEST_FAILED: [0x1b6, suspect],
  CKR_LIBRARY_LOAD_FAILED: [0x1b7, suspect],
  CKR_PIN_TOO_WEAK: [0x1b8, loggedOut],
  CKR_PUBLIC_KEY_INVALID: [0x1b9, refused],
  CKR_FUNCTION_REJECTED: [0x200, refused],
} as const satisfies Record<string, readonly [code: number, meaning: CkrMeaning]>;

export type CkrName = keyof typeof ckrTable;

const byCode = new Map<number, readonly [name: CkrName, meaning: CkrMeaning]>(
  Object.entries(ckrTable).map(([name, [code, meaning]]) => [code, [name as CkrName, meaning]]),
);

/** PINs the token would not take: never tried again (PKCS#11 §5.6 counts them). */
const pinRefusals = new Set<string>([
  'CKR_PIN_INCORRECT',
  'CKR_PIN_INVALID',
  'CKR_PIN_LEN_RANGE',
  'CKR_PIN_EXPIRED',
  'CKR_PIN_LOCKED',
  'CKR_NEW_PIN_MODE',
  'CKR_NEXT_OTP',
]);

/** C_Login's values (PKCS#11 §5.6) by which no PIN was looked at. CKR_GENERAL_ERROR and a vendor's own may mean anything. */
const pinLeftAlone = new Set<string>([
  'CKR_ARGUMENTS_BAD',
  'CKR_CRYPTOKI_NOT_INITIALIZED',
  'CKR_DEVICE_ERROR',
  'CKR_DEVICE_MEMORY',
  'CKR_DEVICE_REMOVED',
  'CKR_HOST_MEMORY',
  'CKR_OPERATION_NOT_INITIALIZED',
  'CKR_SESSION_CLOSED',
  'CKR_SESSION_COUNT',
  'CKR_SESSION_HANDLE_INVALID',
  'CKR_SESSION_READ_ONLY_EXISTS',
  'CKR_TOKEN_NOT_PRESENT',
  'CKR_TOKEN_NOT_RECOGNIZED',
  'CKR_USER_ALREADY_LOGGED_IN',
  'CKR_USER_ANOTHER_ALREADY_LOGGED_IN',
  'CKR_USER_PIN_NOT_INITIALIZED',
  'CKR_USER_TOO_MANY_TYPES',
  'CKR_USER_TYPE_INVALID',
]);

/** The return value an error of pkcs11js carries; undefined when it carries none. Some of its errors only say it in their text. */
export function ckrOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'number' && code > 0) return code;
  const match = /CKR_\w+:(\d+)/.exec(error.message);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/** `0x…` for a vendor's own values; undefined for an error that is no return value. */
export function ckrName(error: unknown): CkrName | `0x${string}` | undefined {
  const code = ckrOf(error);
  return code === undefined ? undefined : (byCode.get(code)?.[0] ?? `0x${code.toString(16)}`);
}

export function meaningOf(error: unknown): CkrMeaning {
  const code = ckrOf(error);
  return (code === undefined ? undefined : byCode.get(code)?.[1]) ?? suspect;
}

/** From C_GetAttributeValue: the object is gone, or its class has no such attribute. Neither says anything of the token. */
export function saysAbsent(error: unknown): boolean {
  return meaningOf(error).lost === 'handle' || ckrName(error) === 'CKR_ATTRIBUTE_TYPE_INVALID';
}

/**
 * Values that say nothing of the token when the call was to make an object: SoftHSMv2 answers CKR_GENERAL_ERROR when its disk is full, other
 * libraries CKR_FUNCTION_FAILED or CKR_DEVICE_ERROR where PKCS#11 has CKR_DEVICE_MEMORY. Whether the token is well is then asked of itself.
 */
const vagueOfMaking = new Set<string>(['CKR_GENERAL_ERROR', 'CKR_FUNCTION_FAILED', 'CKR_DEVICE_ERROR']);

/** What an error means that came from making an object. */
export function meaningOfMaking(error: unknown): CkrMeaning {
  return vagueOfMaking.has(ckrName(error) ?? '') ? refused : meaningOf(error);
}

export function isPinRefusal(error: unknown): boolean {
  return pinRefusals.has(ckrName(error) ?? '');
}

export function leavesPinAlone(error: unknown): boolean {
  return pinLeftAlone.has(ckrName(error) ?? '');
}
