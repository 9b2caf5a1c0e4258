// From a signed request to its caller: claim, time and scope from the headers, then, with the body, credential and signature. A key id that is not known costs as
// much as one that is, and both failures look like AWS's.
import { BridgeError } from '../kernel/errors.js';
import type { Clock } from '../kernel/clock.js';
import { Secret } from '../kernel/secret.js';
import { rootArn } from '../kernel/arn.js';
import type { Credential, Principal } from '../model/principal.js';
import type { Authenticator, Caller, Claim } from '../ports/authenticator.js';
import type { CredentialStore } from '../ports/store.js';
import { prepareKey, type PreparedKey } from './hmac.js';
import type { CredentialScope } from './authorization.js';
import type { ReadTarget } from './target.js';
import { checkSkew, readClaim, signingKey, verifySignature, type SignatureClaim } from './sigv4.js';

export interface AuthenticatorOptions {
  readonly credentials: CredentialStore;
  readonly clock: Clock;
  readonly regions: ReadonlySet<string>;
  readonly services: ReadonlySet<string>;
  /** Which methods, paths and queries are served. */
  readonly readTarget: ReadTarget;
}

interface SigningKey {
  readonly credential: Credential;
  readonly key: PreparedKey;
  readonly caller: Caller;
}

const maxSigningKeys = 1000;
/** Stands in for the secret of an unknown key id, so that the time spent does not tell. */
const unknownCaller: Credential = {
  accessKeyId: '',
  accountId: '000000000000',
  secretAccessKey: new Secret('unknown'),
};

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const keys = new Map<string, SigningKey>();
  return {
    claim: (head) => {
      const claim = readClaim(head, options.readTarget);
      checkSkew(claim, options.clock.now());
      checkScope(claim.scope, options);
      return new ReadClaim(claim, options.credentials, keys);
    },
  };
}

class ReadClaim implements Claim {
  readonly #claim: SignatureClaim;
  readonly #credentials: CredentialStore;
  readonly #keys: Map<string, SigningKey>;

  constructor(claim: SignatureClaim, credentials: CredentialStore, keys: Map<string, SigningKey>) {
    this.#claim = claim;
    this.#credentials = credentials;
    this.#keys = keys;
  }

  async authenticate(body: Buffer): Promise<Caller> {
    const { scope, headers } = this.#claim;
    const credential = await this.#credentials.find(scope.accessKeyId);
    const signing = signingKeyFor(this.#keys, scope, credential ?? unknownCaller);
    const genuine = verifySignature(this.#claim, body, signing.key);
    if (credential === undefined) {
      throw new BridgeError('UnrecognizedClientException', 'The security token included in the request is invalid.');
    }
    if (!genuine) {
      throw new BridgeError(
        'InvalidSignatureException',
        'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
      );
    }
    // Long-term keys have no session token: one that carries one is not ours.
    if (headers.has('x-amz-security-token')) {
      throw new BridgeError('UnrecognizedClientException', 'The security token included in the request is invalid.');
    }
    return signing.caller;
  }
}

function checkScope(scope: CredentialScope, options: AuthenticatorOptions): void {
  if (!options.regions.has(scope.region)) {
    throw new BridgeError('InvalidSignatureException', 'Credential should be scoped to a valid region.');
  }
  if (!options.services.has(scope.service)) {
    throw new BridgeError('InvalidSignatureException', "Credential should be scoped to correct service: 'kms'.");
  }
}

/** The cached signing key of this scope, unless the credential it came from is no longer the one the store gives. */
function signingKeyFor(keys: Map<string, SigningKey>, scope: CredentialScope, credential: Credential): SigningKey {
  const { accessKeyId, date, region, service } = scope;
  const id = `${accessKeyId}/${date}/${region}/${service}`;
  const cached = keys.get(id);
  if (cached?.credential === credential) return cached;
  const key = prepareKey(signingKey(credential.secretAccessKey.reveal(), date, region, service));
  const { accountId } = credential;
  const principal: Principal = { type: 'Root', accountId, arn: rootArn(accountId), accessKeyId };
  const signing = { credential, key, caller: { principal, region, service } };
  if (credential === unknownCaller) return signing;
  if (keys.size >= maxSigningKeys) keys.clear();
  keys.set(id, signing);
  return signing;
}
