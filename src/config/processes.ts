// What the supervisor tells its children and hears from them, over Node's process channel: never by arguments, which `ps` shows.

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface TokenHostConfig {
  readonly region: string;
  /** Absolute path of the vendor profile (native-config/*.json). */
  readonly profilePath: string;
  /** Replaces the profile's list of module paths. */
  readonly modulePath: string | undefined;
  readonly tokenLabel: string;
  /** Holds the user PIN on one line, mode 0600; read by the token host alone. */
  readonly pinFile: string;
  /** Folder for notes about logins that may have cost the PIN an attempt; made when it is needed. */
  readonly notesFolder: string;
  /** The UNIX socket to listen on, short and relative to the working directory (a path has 107 bytes at most). */
  readonly socketPath: string;
  /** Development mode: the host initialises the token itself when there is none, with PINs it draws and writes first. */
  readonly provision: { readonly soPinFile: string } | undefined;
}

/** Of each account in each gateway. */
export interface AccountLimits {
  readonly requestsPerSecond: number;
  readonly auditBytesPerSecond: number;
}

/** Both in PEM; the certificate's file may go on with its chain. */
export interface TlsFiles {
  readonly certificate: string;
  /** Mode 0600; read by gateways alone. */
  readonly key: string;
}

export interface GatewayConfig {
  readonly lane: number;
  readonly gateways: number;
  readonly home: string;
  /** Of the port; undefined: it speaks in clear. */
  readonly tls: TlsFiles | undefined;
  readonly defaultRegion: string;
  readonly regions: readonly { readonly region: string; readonly socketPath: string }[];
  readonly accounts: readonly string[];
  readonly tokenDeadlineMs: number;
  readonly limits: AccountLimits;
  readonly log: { readonly style: 'json' | 'text'; readonly level: LogLevel };
}

/** Why a daemon cannot run; each has one line for its operator that says what to do. None of them is retried. */
export type FatalCode =
  | 'wrong-pin'
  /** A login whose outcome nobody knows: it may have cost an attempt. */
  | 'login-unclear'
  | 'module-missing'
  | 'token-missing'
  | 'token-unsafe'
  | 'pin-file'
  | 'port-in-use'
  | 'tls-files'
  | 'home-in-use'
  | 'home-unwritable'
  /** Somebody else made, or could change, what the daemon would use. */
  | 'home-unsafe'
  | 'store-damaged'
  | 'audit-damaged'
  | 'configuration';

export interface Fatal {
  readonly type: 'fatal';
  readonly code: FatalCode;
  readonly message: string;
}

export interface TokenDescription {
  readonly label: string;
  readonly serial: string;
}

export type ToTokenHost = { readonly type: 'configure'; readonly config: TokenHostConfig } | { readonly type: 'stop' };
export type FromTokenHost = { readonly type: 'ready'; readonly token: TokenDescription } | Fatal;

/** What a gateway listens on: `unix` is the endpoint in the file system. The admin port is gateway 0's alone. */
export type Listener = 'endpoint' | 'unix' | 'admin';

export type ToGateway =
  /** Comes with the socket itself, bound, and before `configure`. */
  | { readonly type: 'socket'; readonly listener: Listener }
  | { readonly type: 'configure'; readonly config: GatewayConfig }
  | { readonly type: 'token-ready'; readonly region: string }
  /**
   * `broken`: calls in this Region fail at once until it is ready, which after most causes is not before the next start. `code` says why;
   * without one the Region is not among those that are served.
   */
  | { readonly type: 'token-down'; readonly region: string; readonly broken: boolean; readonly code?: FatalCode }
  /** The TLS files have changed. */
  | { readonly type: 'renew-tls' }
  | { readonly type: 'stop' };

/** Root access keys of an account, for the files that development mode and the first start write. Never logged. */
export interface RootCredentials {
  readonly accountId: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export type FromGateway =
  | {
      readonly type: 'ready';
      /** From gateway 0 only: one entry an account, in the order of `GatewayConfig.accounts`. */
      readonly rootCredentials?: readonly RootCredentials[];
    }
  /** A request needs this Region's token: start its host. */
  | { readonly type: 'token-wanted'; readonly region: string }
  /** The host had something to do for a whole deadline and answered nothing: it hangs and must be killed. */
  | { readonly type: 'token-overrun'; readonly region: string }
  | Fatal;
