// A façade as the gateway sees it: a protocol on addresses of its own. Each says by `Core` what it wants of the gateway; `compose.ts` lists
// them all, and does not compile when one wants what there is not.
import type { DrainableServer } from '../kernel/drainable-server.js';
import type { StrangerLimits } from '../kernel/strangers.js';

export interface Facade<Core> {
  /** Resolves when it is served; undefined: this gateway has no address for it. */
  listen(core: Core): Promise<Drainable | undefined>;
}

export interface Drainable {
  /** Takes nothing more in; resolves when all that was taken in is answered. */
  drain(): Promise<void>;
}

/** What becomes of those who have not done their TLS handshake yet. */
export interface HandshakeRules {
  /** Of handshakes under way. */
  readonly limits: StrangerLimits;
  readonly timeoutMs: number;
  /** Told of each connection that is dropped before its handshake is done. */
  readonly dropped: (reason: 'too-many-handshakes' | 'no-handshake-in-time') => void;
}

/** The addresses that are bound for this gateway, by the names that the configuration gives them. */
export interface Addresses {
  has(name: string): boolean;
  /**
   * Lets `server` serve an address, if there is one of that name: behind TLS where the configuration has it so. Without `handshakes` the
   * façade serves in clear alone. Throws FatalError.
   */
  open(server: DrainableServer, name: string, handshakes: HandshakeRules | undefined): Promise<void>;
}
