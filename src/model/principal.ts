// Who a request comes from, once its signature was verified.

/** The root user of an account: the only kind of principal there is so far. */
export interface Principal {
  readonly type: 'Root';
  readonly accountId: string;
  readonly arn: string;
  readonly accessKeyId: string;
}

/** A long-term access key, its secret in the clear: lives in memory only, never in a log, a message or a file of the store. */
export interface Credential {
  readonly accessKeyId: string;
  readonly accountId: string;
  readonly secretAccessKey: string;
}
