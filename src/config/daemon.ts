// The configuration as the supervisor uses it: complete, checked, every path absolute. Holds no secret: PINs stay in their files.
import type { AccountLimits, LogLevel, TlsFiles, TokenHostConfig } from './processes.js';

export interface RegionConfig {
  readonly region: string;
  readonly tokenHost: TokenHostConfig;
  /** Added to the token host's environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Development mode: the folder of this Region's SoftHSM token and of the configuration file made from the template. */
  readonly softhsm: { readonly folder: string; readonly templatePath: string } | undefined;
}

export interface DaemonConfig {
  readonly mode: 'dev' | 'serve';
  readonly home: string;
  readonly host: string;
  /** Undefined: the endpoint has no port, only a socket. */
  readonly port: number | undefined;
  /** Of the port. */
  readonly tls: TlsFiles | undefined;
  /** The endpoint in the file system, in clear. */
  readonly socket: { readonly path: string; readonly mode: number } | undefined;
  readonly adminPort: number;
  readonly defaultRegion: string;
  readonly gateways: number;
  readonly accounts: readonly string[];
  readonly regions: readonly RegionConfig[];
  readonly tokenDeadlineMs: number;
  readonly startDeadlineMs: number;
  readonly drainDeadlineMs: number;
  readonly limits: AccountLimits;
  readonly logLevel: LogLevel;
}

/** A setting is missing or wrong: `message` is one line that names it. */
export class ConfigurationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigurationError';
  }
}
