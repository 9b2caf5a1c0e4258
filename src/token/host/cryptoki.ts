// The library's functions as the host calls them once it is logged in: what goes wrong says which function it came from, with which mechanism,
// because what a return value means depends on both.
import type pkcs11 from 'pkcs11js';

export const functions = [
  'C_OpenSession',
  'C_CloseSession',
  'C_GetSessionInfo',
  'C_GetMechanismList',
  'C_FindObjectsInit',
  'C_FindObjects',
  'C_FindObjectsFinal',
  'C_GetAttributeValue',
  'C_SetAttributeValue',
  'C_CreateObject',
  'C_CopyObject',
  'C_DestroyObject',
  'C_GenerateKey',
  'C_GenerateKeyPair',
  'C_GenerateRandom',
  'C_EncryptInit',
  'C_Encrypt',
  'C_DecryptInit',
  'C_Decrypt',
  'C_SignInit',
  'C_Sign',
  'C_VerifyInit',
  'C_Verify',
  'C_DeriveKey',
  'C_WrapKey',
  'C_UnwrapKey',
] as const;
export type CkFunction = (typeof functions)[number];

export type Cryptoki = Pick<pkcs11.PKCS11, CkFunction>;

/** An error of the library's. Its message has nothing of the call's data: the function, and pkcs11js's name for the value. */
export class TokenError extends Error {
  readonly function: CkFunction;
  /** CKM number of the operation it belongs to. */
  readonly mechanism: number | undefined;

  constructor(from: CkFunction, mechanism: number | undefined, cause: unknown) {
    super(`${from}: ${cause instanceof Error ? cause.message : 'no error'}`, { cause });
    this.name = 'TokenError';
    this.function = from;
    this.mechanism = mechanism;
  }
}

type Callable = (...args: readonly unknown[]) => unknown;

/** A view of the library. It is asked for each function when that is called. */
export function named(library: pkcs11.PKCS11): Cryptoki {
  let mechanism: number | undefined;
  const view: Partial<Record<CkFunction, Callable>> = {};
  for (const name of functions) {
    view[name] = (...args) => {
      try {
        return (library[name] as Callable)(...args);
      } catch (error) {
        const own = args[1] as Partial<pkcs11.Mechanism> | undefined;
        throw new TokenError(name, typeof own?.mechanism === 'number' ? own.mechanism : mechanism, error);
      }
    };
  }
  for (const name of ['C_EncryptInit', 'C_DecryptInit', 'C_SignInit', 'C_VerifyInit'] as const) {
    const init = view[name];
    view[name] = (...args) => {
      mechanism = (args[1] as pkcs11.Mechanism).mechanism;
      return init?.(...args);
    };
  }
  return view as unknown as Cryptoki;
}
