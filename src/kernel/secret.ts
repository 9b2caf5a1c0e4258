// A value that nobody may read by accident: whatever prints it (a log, a template, JSON, an inspection) prints that it is a secret.
// What wants the value itself says so, in a word that is easily searched for.
import { inspect } from 'node:util';

const printed = '[secret]';

export class Secret<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  /** The value, for who must compute with it or hand it to the caller it belongs to; never to write it down. */
  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return printed;
  }

  toJSON(): string {
    return printed;
  }

  [inspect.custom](): string {
    return printed;
  }
}
