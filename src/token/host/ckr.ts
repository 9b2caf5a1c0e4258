// Every return value of PKCS#11 v2.40 (§5.1 and pkcs11t.h), and what it means here: by itself, and from the functions where it means something
// else. A value that is not in the table makes the token suspect, or has it asked when it is a vendor's own from a function that works on what
// callers choose, and a PIN is never tried again.
import pkcs11 from 'pkcs11js';
import { TokenError, type CkFunction } from './cryptoki.js';

/** What can no longer be trusted: the cached handle, the session, the login, or the library's hold on the token. */
export type Loss = 'nothing' | 'handle' | 'session' | 'login' | 'token';

export interface CkrMeaning {
  readonly says: 'internal' | 'keyUnavailable' | 'invalidCiphertext' | 'invalidSignature';
  readonly lost: Loss;
  /** The call had no effect, so that it may be made once more after the handle or session was replaced. */
  readonly again: boolean;
  /** It may be about what a caller sent, or about the token: the token is asked with data of our own before it is believed to be well. */
  readonly ask?: true;
}

export const meanings = {
  /** All is as it should be. */
  fine: { says: 'internal', lost: 'nothing', again: false },
  /** The token did not want this call, and its operation may still be active: the session is replaced. */
  refused: { says: 'internal', lost: 'session', again: false },
  /** The token did not want what it was given, and no operation is active (§5.8 to §5.14: the call has ended it, or there was none). */
  rejected: { says: 'internal', lost: 'nothing', again: false },
  staleSession: { says: 'internal', lost: 'session', again: true },
  staleHandle: { says: 'keyUnavailable', lost: 'handle', again: true },
  /** The tag, the padding or the length does not match. */
  invalidCiphertext: { says: 'invalidCiphertext', lost: 'nothing', again: false },
  invalidSignature: { says: 'invalidSignature', lost: 'nothing', again: false },
  /** Nobody can tell from the value what it is about. */
  vague: { says: 'internal', lost: 'nothing', again: false, ask: true },
  /** Another C_Login would be needed, and a process makes one in its life. */
  loggedOut: { says: 'internal', lost: 'login', again: false },
  suspect: { says: 'internal', lost: 'token', again: false },
} as const satisfies Record<string, CkrMeaning>;
export type MeaningName = keyof typeof meanings;

const { fine, refused, staleSession, staleHandle, loggedOut, suspect } = meanings;

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
  CKR_ENCRYPTED_DATA_INVALID: [0x040, refused],
  CKR_ENCRYPTED_DATA_LEN_RANGE: [0x041, refused],
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

type Answers = Readonly<Partial<Record<CkrName, MeaningName>>>;

/** Callers choose what these work on, or how often: none of these values alone says that the token is lost. */
const vague: Answers = { CKR_GENERAL_ERROR: 'vague', CKR_FUNCTION_FAILED: 'vague', CKR_DEVICE_ERROR: 'vague' };

const init: Answers = {
  ...vague,
  CKR_KEY_FUNCTION_NOT_PERMITTED: 'rejected',
  CKR_KEY_SIZE_RANGE: 'rejected',
  CKR_KEY_TYPE_INCONSISTENT: 'rejected',
  CKR_MECHANISM_INVALID: 'rejected',
  CKR_MECHANISM_PARAM_INVALID: 'rejected',
};
const data: Answers = { ...vague, CKR_DATA_INVALID: 'rejected', CKR_DATA_LEN_RANGE: 'rejected' };
/** SoftHSMv2 answers CKR_GENERAL_ERROR when its disk is full, others CKR_FUNCTION_FAILED where PKCS#11 has CKR_DEVICE_MEMORY. */
const making: Answers = {
  ...init,
  CKR_ATTRIBUTE_READ_ONLY: 'rejected',
  CKR_ATTRIBUTE_TYPE_INVALID: 'rejected',
  CKR_ATTRIBUTE_VALUE_INVALID: 'rejected',
  CKR_CURVE_NOT_SUPPORTED: 'rejected',
  CKR_DEVICE_MEMORY: 'rejected',
  CKR_DOMAIN_PARAMS_INVALID: 'rejected',
  CKR_TEMPLATE_INCOMPLETE: 'rejected',
  CKR_TEMPLATE_INCONSISTENT: 'rejected',
  CKR_TOKEN_WRITE_PROTECTED: 'rejected',
};

/** Where a value of a function means something else than by itself. A vendor's profile has the last word. */
export const functionAnswers: Readonly<Partial<Record<CkFunction, Answers>>> = {
  C_FindObjectsInit: vague,
  C_FindObjects: vague,
  C_FindObjectsFinal: vague,
  C_GetAttributeValue: { ...vague, CKR_ATTRIBUTE_SENSITIVE: 'rejected', CKR_ATTRIBUTE_TYPE_INVALID: 'rejected' },
  C_CreateObject: making,
  C_CopyObject: making,
  C_DestroyObject: making,
  C_GenerateKey: making,
  C_GenerateKeyPair: making,
  C_GenerateRandom: vague,
  C_EncryptInit: init,
  C_Encrypt: data,
  C_DecryptInit: init,
  C_Decrypt: {
    ...data,
    CKR_ENCRYPTED_DATA_INVALID: 'invalidCiphertext',
    CKR_ENCRYPTED_DATA_LEN_RANGE: 'invalidCiphertext',
  },
  C_SignInit: init,
  C_Sign: data,
  C_VerifyInit: init,
  C_Verify: { ...data, CKR_SIGNATURE_INVALID: 'invalidSignature', CKR_SIGNATURE_LEN_RANGE: 'invalidSignature' },
  C_DeriveKey: { ...making, CKR_PUBLIC_KEY_INVALID: 'rejected' },
  C_UnwrapKey: {
    ...making,
    CKR_WRAPPED_KEY_INVALID: 'invalidCiphertext',
    CKR_WRAPPED_KEY_LEN_RANGE: 'invalidCiphertext',
  },
};

/** A vendor's own use of a return value. */
export interface VendorAnswer {
  readonly function: CkFunction;
  /** CKM name; with any mechanism when there is none. */
  readonly mechanism?: string | undefined;
  /** CKR name, or `0x…` for a value of the vendor's own. */
  readonly returns: string;
  readonly means: MeaningName;
}

/** What an error of the library's means, for one vendor. Anything else that is thrown makes the token suspect. */
export type MeaningOf = (error: unknown) => CkrMeaning;

export function meaningsOf(answers: readonly VendorAnswer[]): MeaningOf {
  return (error) => {
    const name = ckrName(error);
    if (!(error instanceof TokenError) || name === undefined) return meaningOf(error);
    const answersOf = functionAnswers[error.function];
    const own = answersOf?.[name as CkrName] ?? (answersOf !== undefined && isVendors(error) ? 'vague' : undefined);
    const usual: CkrMeaning = own === undefined ? meaningOf(error) : meanings[own];
    const vendors = answers.find(
      (answer) =>
        answer.function === error.function &&
        answer.returns === name &&
        (answer.mechanism === undefined || mechanismNumber(answer.mechanism) === error.mechanism),
    );
    if (vendors === undefined) return usual;
    // A value that means worse things too is only believed while the token is otherwise well.
    const doubtful = usual.ask === true || usual.lost === 'token';
    return doubtful ? { ...meanings[vendors.means], ask: true } : meanings[vendors.means];
  };
}

/** Undefined for a name that PKCS#11 v2.40 does not know. */
export function mechanismNumber(name: string): number | undefined {
  const number = (pkcs11 as unknown as Readonly<Record<string, unknown>>)[name];
  return name.startsWith('CKM_') && typeof number === 'number' ? number : undefined;
}

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
  if (error instanceof TokenError) return ckrOf(error.cause);
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

/** From CKR_VENDOR_DEFINED on. */
function isVendors(error: unknown): boolean {
  const code = ckrOf(error) ?? 0;
  return code >= 0x8000_0000 && code <= 0xffff_ffff;
}

/** What a value means by itself, whichever function it came from. */
export function meaningOf(error: unknown): CkrMeaning {
  const code = ckrOf(error);
  return (code === undefined ? undefined : byCode.get(code)?.[1]) ?? suspect;
}

/** From C_GetAttributeValue: the object is gone, or its class has no such attribute. Neither says anything of the token. */
export function saysAbsent(error: unknown): boolean {
  return meaningOf(error).lost === 'handle' || ckrName(error) === 'CKR_ATTRIBUTE_TYPE_INVALID';
}

export function isPinRefusal(error: unknown): boolean {
  return pinRefusals.has(ckrName(error) ?? '');
}

export function leavesPinAlone(error: unknown): boolean {
  return pinLeftAlone.has(ckrName(error) ?? '');
}
