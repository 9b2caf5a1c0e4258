// What the supervisor tells its children and hears from them, over Node's process channel: never by arguments, which `ps` shows.
import type { Listener } from './listener.js';
import type { Settings } from './schema.js';

import { Secret } from '../kernel/secret.js';
import type { KeyStoreRef } from '../model/key-store.js';
import type { Credential } from '../model/principal.js';
import type { TokenInfo } from '../model/token-key.js';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface TokenHostConfig extends KeyStoreRef {
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

export interface GatewayConfig extends Settings {
  readonly mode: 'dev' | 'serve';
  readonly lane: number;
  /** As `DaemonConfig` has them. */
  readonly keyStores: readonly (KeyStoreRef & { readonly socketPath: string })[];
  readonly listeners: readonly Listener[];
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

export type ToTokenHost = { readonly type: 'configure'; readonly config: TokenHostConfig } | { readonly type: 'stop' };
/** Something that went wrong in a token host. `function` is PKCS#11's and `ckr` its value, `none` when it was not the token. */
export interface Trouble {
  readonly function: string;
  readonly ckr: string;
  readonly lost: 'nothing' | 'session' | 'login' | 'token';
  /** For the operator; nothing secret. */
  readonly what: string;
  /** How many of the same since the last word. */
  readonly count: number;
}

export type FromTokenHost =
  | { readonly type: 'ready'; readonly token: TokenInfo }
  | { readonly type: 'trouble'; readonly trouble: Trouble }
  | Fatal;

export type ToGateway =
  /** Comes with the socket itself, bound, and before `configure`. */
  | { readonly type: 'socket'; /** A `Listener`'s name. */ readonly listener: string }
  | { readonly type: 'configure'; readonly config: GatewayConfig }
  | ({ readonly type: 'token-ready'; readonly callsInFlight: number } & KeyStoreRef)
  /**
   * `broken`: calls of this token fail at once until it is ready, which after most causes is not before the next start. `code` says why;
   * without one the key store is not among those that are configured.
   */
  | ({ readonly type: 'token-down'; readonly broken: boolean; readonly code?: FatalCode } & KeyStoreRef)
  /** For metrics; the supervisor has logged it. */
  | ({ readonly type: 'token-trouble'; readonly trouble: Trouble } & KeyStoreRef)
  /** The TLS files have changed. */
  | { readonly type: 'renew-tls' }
  | { readonly type: 'stop' };

/** An access key on its way to the supervisor: the channel carries texts alone. */
type SentCredential = Readonly<Record<keyof Credential, string>>;

export const sent = (credential: Credential): SentCredential => ({
  ...credential,
  secretAccessKey: credential.secretAccessKey.reveal(),
});

export const received = (credential: SentCredential): Credential => ({
  ...credential,
  secretAccessKey: new Secret(credential.secretAccessKey),
});

export type FromGateway =
  | {
      readonly type: 'ready';
      /** From gateway 0 only, for the files of development mode and of the first start: a root access key of each account, in the order of `GatewayConfig.accounts`. */
      readonly rootCredentials?: readonly SentCredential[];
    }
  /** A request needs this token: start its host. */
  | ({ readonly type: 'token-wanted' } & KeyStoreRef)
  /** The host had something to do for a whole deadline and answered nothing: it hangs and must be killed. */
  | ({ readonly type: 'token-overrun' } & KeyStoreRef)
  | Fatal;
