// The configuration as the supervisor uses it: complete, checked, every path absolute. Holds no secret: PINs stay in their files.
import type { TokenHostConfig } from './processes.js';
import type { Settings } from './schema.js';

export interface RegionConfig {
  readonly region: string;
  readonly tokenHost: TokenHostConfig;
  /** Added to the token host's environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Development mode: the folder of this Region's SoftHSM token and of the configuration file made from the template. */
  readonly softhsm: { readonly folder: string; readonly templatePath: string } | undefined;
}

export interface DaemonConfig extends Settings {
  readonly mode: 'dev' | 'serve';
  readonly regions: readonly RegionConfig[];
}

/** A setting is missing or wrong: `message` is one line that names it. */
export class ConfigurationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigurationError';
  }
}
