// A program of its own, which `doctor` runs; it never logs in. A vendor's library may crash, hang or leave threads behind; here it takes
// nobody with it. Prints one line of JSON. Arguments: `profile` and a profile's path: where it looks for its module and what it gives
// C_Initialize; `labels`, a module's path and its init string: the labels of its initialised tokens; none: it only loads the binding.
import pkcs11 from 'pkcs11js';
import { StartFault } from './fault.js';
import { loadProfile } from './profile.js';

const [what, path = '', initString = ''] = process.argv.slice(2);
if (what === 'profile') print(places(path));
if (what === 'labels') print(labels());

function places(profilePath: string): object {
  try {
    const { modulePaths, initString: init } = loadProfile(profilePath);
    return { paths: modulePaths.value, initString: init.value ?? '' };
  } catch (error) {
    if (!(error instanceof StartFault)) throw error;
    return { problem: error.message };
  }
}

function labels(): readonly string[] {
  const module = new pkcs11.PKCS11();
  module.load(path);
  // pkcs11js cuts off the last character of libraryParameters: a space is there to be lost.
  if (initString === '') module.C_Initialize();
  else module.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK, libraryParameters: `${initString} ` });
  const tokens = module.C_GetSlotList(true).map((slot) => module.C_GetTokenInfo(slot));
  module.C_Finalize();
  const made = tokens.filter(({ flags }) => (flags & pkcs11.CKF_TOKEN_INITIALIZED) !== 0);
  return made.map(({ label }) => label.trimEnd());
}

function print(answer: unknown): void {
  process.stdout.write(JSON.stringify(answer));
}
