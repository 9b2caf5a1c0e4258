// A session of the host's own on a test's token, in the test's process.
import { login } from '../../src/token/host/login.js';
import { findToken, loadModule, type LoadedModule } from '../../src/token/host/module.js';
import { loadProfile, type Profile } from '../../src/token/host/profile.js';
import { TokenSession } from '../../src/token/host/session.js';
import { profilePath, tokenLabel, type SoftStore } from './soft-token.js';

/** Once a process: the library reads where its tokens are when it is loaded. */
export function logIn(store: SoftStore): { module: LoadedModule; session: TokenSession; profile: Profile } {
  process.env['SOFTHSM2_CONF'] = store.conf;
  const profile = loadProfile(profilePath);
  const module = loadModule(profile, undefined);
  const token = findToken(module, tokenLabel, null)!;
  const session = new TokenSession(module.pkcs11, token);
  const { pinFile, notesFolder } = store;
  const options = { as: 'user', pinFile, notesFolder, region: 'eu-test-1', ours: false } as const;
  login(module.pkcs11, session.handle, token, options, profile);
  return { module, session, profile };
}
