// A program of its own, which `doctor` runs: prints the labels of a module's initialised tokens as JSON, and never logs in. A vendor's
// library may crash, hang or leave threads behind; here it takes nobody with it. Arguments: the module's path and its init string;
// without them it only loads the binding.
import pkcs11 from 'pkcs11js';

const [modulePath, initString = ''] = process.argv.slice(2);
if (modulePath !== undefined) {
  const module = new pkcs11.PKCS11();
  module.load(modulePath);
  // pkcs11js cuts off the last character of libraryParameters: a space is there to be lost.
  if (initString === '') module.C_Initialize();
  else module.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK, libraryParameters: `${initString} ` });
  const tokens = module.C_GetSlotList(true).map((slot) => module.C_GetTokenInfo(slot));
  const made = tokens.filter(({ flags }) => (flags & pkcs11.CKF_TOKEN_INITIALIZED) !== 0);
  process.stdout.write(JSON.stringify(made.map(({ label }) => label.trimEnd())));
  module.C_Finalize();
}
