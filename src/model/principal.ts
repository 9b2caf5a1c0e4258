// Who a request comes from, once its signature was verified; with what CloudTrail says of each (`user-identity.ts`).
import type { Secret } from '../kernel/secret.js';

interface Authenticated {
  readonly accountId: string;
  readonly arn: string;
  readonly accessKeyId: string;
}

/** The root user of an account: the only kind of principal that is made so far. */
interface Root extends Authenticated {
  readonly type: 'Root';
}

interface User extends Authenticated {
  readonly type: 'User';
  /** Its unique id, `AIDA…`. */
  readonly userId: string;
  readonly userName: string;
}

/** Temporary credentials were made at `issuedAtMs`. */
interface Session extends Authenticated {
  readonly issuedAtMs: number;
  readonly hasMfa: boolean;
}

/** A session of a role that was assumed. */
interface RoleSession extends Session {
  readonly type: 'RoleSession';
  readonly sessionName: string;
  /** `id`: its unique one, `AROA…`. */
  readonly role: { readonly id: string; readonly name: string; readonly arn: string };
}

/** A federated user, with credentials that a user or root user asked for in its name. */
interface Federated extends Session {
  readonly type: 'Federated';
  readonly name: string;
  readonly issuer: Root | User;
}

/** A service that acts for an account. */
interface ServicePrincipal {
  readonly type: 'Service';
  /** As `backup.amazonaws.com`. */
  readonly service: string;
  readonly accountId: string;
}

export type Principal = Root | User | RoleSession | Federated | ServicePrincipal;

/** As AWS names it in messages. */
export const nameOf = (principal: Principal): string =>
  principal.type === 'Service' ? principal.service : principal.arn;

/** A long-term access key, its secret in the clear: lives in memory only. */
export interface Credential {
  readonly accessKeyId: string;
  readonly accountId: string;
  readonly secretAccessKey: Secret<string>;
}
