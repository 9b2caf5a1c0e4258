// Authentication as the line sees it.
import type { Principal } from '../model/principal.js';
import type { SignedRequest } from '../model/request.js';

/** Who signed, and what the signature's scope says the request is for. */
export interface Caller {
  readonly principal: Principal;
  readonly region: string;
  readonly service: string;
}

export interface Authenticator {
  /**
   * Verifies the signature. Fails with BridgeError MissingAuthenticationToken, IncompleteSignature, InvalidSignature or
   * UnrecognizedClient, in AWS's words.
   */
  authenticate(request: SignedRequest): Promise<Caller>;
}
