// The configuration as the supervisor uses it: complete, checked, every path absolute. Holds no secret: PINs stay in their files.
import type { KeyStoreRef } from '../model/key-store.js';
import type { TokenHostConfig } from './processes.js';
import type { Settings } from './schema.js';

/** A token and its host. */
export interface KeyStoreConfig extends KeyStoreRef {
  readonly tokenHost: TokenHostConfig;
  /** Added to the token host's environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Development mode: the folder of the SoftHSM token and of the configuration file made from the template. */
  readonly softhsm: { readonly folder: string; readonly templatePath: string } | undefined;
}

export interface DaemonConfig extends Settings {
  readonly mode: 'dev' | 'serve';
  /** A Region's default one comes before its others, which are in the order in which new keys go to them. */
  readonly keyStores: readonly KeyStoreConfig[];
}

/** A setting is missing or wrong: `message` is one line that names it. */
export class ConfigurationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigurationError';
  }
}
