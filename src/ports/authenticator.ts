// Authentication as the line sees it.
import type { Principal } from '../model/principal.js';
import type { RequestHead } from '../model/request.js';

/** Who signed, and what the signature's scope says the request is for. */
export interface Caller {
  readonly principal: Principal;
  readonly region: string;
  readonly service: string;
}

/** What the headers of a request claim: well formed, of our time and for a service of ours, but not believed. */
export interface Claim {
  /** Verifies the signature over headers and body. Fails with BridgeError InvalidSignature or UnrecognizedClient, in AWS's words. */
  authenticate(body: Buffer): Promise<Caller>;
}

export interface Authenticator {
  /**
   * Reads the claim before anything of the body is: who makes none has nothing read. Throws BridgeError UnknownOperation,
   * MissingAuthenticationToken, IncompleteSignature or InvalidSignature, in AWS's words.
   */
  claim(head: RequestHead): Claim;
}
