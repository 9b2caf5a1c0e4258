// The end of a daemon that cannot run: one line for its operator, no stack, never a retry.
import type { FatalCode } from '../config/processes.js';

export class FatalError extends Error {
  readonly code: FatalCode;

  /** `message`: says what is wrong and what to do; it becomes one line, wherever it came from. */
  constructor(code: FatalCode, message: string) {
    super(message.replace(/\s*\n\s*/g, ' '));
    this.name = 'FatalError';
    this.code = code;
  }
}
