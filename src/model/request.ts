// A request as it came off the wire, before anything in it is believed.

export interface RequestHead {
  readonly method: string;
  /** The request target as received. */
  readonly url: string;
  /** Node's rawHeaders: name, value, name, value …, duplicates kept. */
  readonly rawHeaders: readonly string[];
}
