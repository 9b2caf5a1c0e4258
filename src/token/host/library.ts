// The vendor's library, loaded by each thread that calls it: it is the same one, initialised once in a process's life and never unloaded.
import { existsSync } from 'node:fs';
import pkcs11 from 'pkcs11js';
import { ckrName } from './ckr.js';
import { StartFault, TokenLost } from './fault.js';
import type { Profile } from './profile.js';

type LibraryProfile = Pick<Profile, 'modulePaths' | 'initString'>;

/** pkcs11js frees the library when the object that loaded it is collected: this keeps it for as long as the process lives. */
const loaded: pkcs11.PKCS11[] = [];

/** Loads the first module that exists and initialises it. `modulePath` replaces the profile's list. */
export function loadLibrary(profile: LibraryProfile, modulePath: string | undefined): pkcs11.PKCS11 {
  const candidates = modulePath === undefined ? profile.modulePaths.value : [modulePath];
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new StartFault(
      'module-missing',
      `no PKCS#11 module at ${candidates.join(', ')}: install it, or give its path`,
    );
  }
  const library = new pkcs11.PKCS11();
  loaded.push(library);
  try {
    library.load(path);
  } catch (error) {
    // From here on any call on `library` would end the process: it is not touched again.
    throw new StartFault('module-missing', `${path} cannot be loaded as a PKCS#11 module`, { cause: error });
  }
  initialize(library, profile, path);
  return library;
}

function initialize(library: pkcs11.PKCS11, profile: LibraryProfile, path: string): void {
  const initString = profile.initString.value;
  try {
    // Several threads will be in the library. pkcs11js cuts off the last character of libraryParameters: a space is there to be lost.
    const flags = pkcs11.CKF_OS_LOCKING_OK;
    library.C_Initialize(initString === null ? { flags } : { flags, libraryParameters: `${initString} ` });
  } catch (error) {
    const name = ckrName(error);
    if (name === 'CKR_CRYPTOKI_ALREADY_INITIALIZED') return;
    if (name?.startsWith('CKR_DEVICE_') === true || name === 'CKR_TOKEN_NOT_PRESENT') {
      throw new TokenLost(`the module answers ${name} when it is initialised`, { cause: error });
    }
    const message = `the PKCS#11 module ${path} does not initialise (${name ?? 'no return value'}): check its configuration`;
    throw new StartFault('module-missing', message, { cause: error });
  }
}
