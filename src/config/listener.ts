// An address of the daemon's, as supervisor and gateways speak of it.

/** Both in PEM; the certificate's file may go on with its chain. */
export interface TlsFiles {
  readonly certificate: string;
  /** Mode 0600; read by gateways alone. */
  readonly key: string;
}

/** An address that the supervisor binds and gateways accept from. */
export interface Listener {
  /** What the façade that serves it asks for. */
  readonly name: string;
  readonly at: { readonly host: string; readonly port: number } | { readonly path: string; readonly mode: number };
  readonly tls: TlsFiles | undefined;
  /** What to change where it cannot be had: in the file of `serve`, in the environment of `dev`. */
  readonly setting: { readonly serve: string; readonly dev: string };
  /** Served by gateway 0 alone. */
  readonly firstGatewayOnly: boolean;
}
