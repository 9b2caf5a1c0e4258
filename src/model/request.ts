// A request as it came off the wire, before anything in it is believed.

export interface SignedRequest {
  readonly method: string;
  /** Path and query as received. */
  readonly url: string;
  /** Node's rawHeaders: name, value, name, value …, duplicates kept. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}
