// The three ways a token host fails: one request, the whole start, or the token under it. None carries a secret or a library's text to a caller.
import type { FatalCode } from '../../config/processes.js';
import type { Status } from '../wire.js';

/** One request's answer when it is not `ok`; the token is sound. */
export class RequestFault extends Error {
  readonly status: Exclude<Status, 'ok' | 'partial' | 'alive'>;

  constructor(status: RequestFault['status'], message: string) {
    super(message);
    this.name = 'RequestFault';
    this.status = status;
  }
}

/** The host cannot start, and will not by trying again. `message` is for the operator: what is wrong and what to do. */
export class StartFault extends Error {
  readonly code: FatalCode;

  constructor(code: FatalCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartFault';
    this.code = code;
  }
}

/** The token, or the library's hold on it, is lost or suspect: this process ends, and a new one may find it sound. */
export class TokenLost extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TokenLost';
  }
}
