// Asks the token whether it is well, after an error that may be about a caller's data or about the token. Nothing is given up for it while the
// token is well, and callers who provoke such errors cannot have it asked all the time.
import type { MonotonicClock } from '../../kernel/clock.js';
import { TokenLost } from './fault.js';
import type { KeyIndex } from './object-index.js';
import type { TokenSession } from './session.js';

/** How long an answer holds, at least. The session itself is looked at each time. */
const trustMs = 100;
/** Asking takes this part of the time at most. */
const share = 1 / 20;

export interface WellCheckOptions {
  readonly session: Pick<TokenSession, 'isLoggedIn' | 'requireAnswers'>;
  readonly index: Pick<KeyIndex, 'isReachable'>;
  readonly clock: MonotonicClock;
}

export class WellCheck {
  readonly #options: WellCheckOptions;
  #askAgainAtMs = 0;

  constructor(options: WellCheckOptions) {
    this.#options = options;
  }

  /** False: the token is well, and this session is not. TokenLost when the token is not well. */
  isSessionWell(): boolean {
    const { session, index, clock } = this.#options;
    const isWell = session.isLoggedIn();
    const nowMs = clock.monotonicMs();
    if (isWell && nowMs < this.#askAgainAtMs) return true;
    session.requireAnswers();
    try {
      if (!index.isReachable()) throw new TokenLost('the keys of the token cannot be read');
    } catch (error) {
      if (error instanceof TokenLost) throw error;
      throw new TokenLost('the keys of the token cannot be read', { cause: error });
    }
    const endMs = clock.monotonicMs();
    this.#askAgainAtMs = endMs + Math.max(trustMs, (endMs - nowMs) / share);
    return isWell;
  }
}
