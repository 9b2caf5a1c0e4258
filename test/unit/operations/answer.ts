// What reading an operation's input says to its caller.
import { BridgeError } from '../../../src/kernel/errors.js';
import { operations } from '../../../src/operations/index.js';
import { inputReader } from '../../../src/shapes/read.js';

/** `read`, or the error with all that a caller is told of it. */
export function answer(name: string, json: unknown): string {
  try {
    inputReader(operations.kms.get(name)!.input)(json);
    return 'read';
  } catch (error) {
    if (error instanceof BridgeError) return `${error.code}: ${error.publicMessage ?? '-'}`;
    throw error;
  }
}
