// What goes wrong in the token host, in words for its operator and figures for metrics: the function, the value it returned, and what was lost.
// Nothing of a call's data is in them, and a storm of the same is counted.
import type { Trouble } from '../../config/processes.js';
import { Storm } from '../../kernel/storm.js';
import type { Timers } from '../../kernel/timers.js';
import { ckrName, type Loss } from './ckr.js';
import { TokenError } from './cryptoki.js';

export type DescribedTrouble = Omit<Trouble, 'count'>;

export type OnTrouble = (error: unknown, lost: Trouble['lost']) => void;

const maxWords = 300;

export interface Troubles {
  readonly report: OnTrouble;
  /** The same, of what another thread has described. */
  readonly reportDescribed: (trouble: DescribedTrouble) => void;
  /** Tells what was gathered: before the process ends. */
  readonly flush: () => void;
}

export function createTroubles(report: (trouble: Trouble) => void, timers: Timers): Troubles {
  const storm = new Storm<DescribedTrouble>((trouble, count) => report({ ...trouble, count }), timers);
  const reportDescribed = (trouble: DescribedTrouble): void =>
    storm.happened(
      `${trouble.function} ${trouble.ckr} ${trouble.lost} ${trouble.function === 'none' ? trouble.what : ''}`,
      trouble,
    );
  return {
    report: (error, lost) => reportDescribed(describeTrouble(error, lost)),
    reportDescribed,
    flush: () => storm.flush(),
  };
}

export function describeTrouble(error: unknown, lost: Trouble['lost']): DescribedTrouble {
  const from = tokenErrorIn(error);
  return {
    function: from?.function ?? 'none',
    ckr: from === undefined ? 'none' : (ckrName(from) ?? 'none'),
    lost,
    what: wordsOf(error).slice(0, maxWords),
  };
}

/** A handle is looked for again in a session of its own. */
export const lossOf = (lost: Loss): Trouble['lost'] => (lost === 'handle' ? 'session' : lost);

function tokenErrorIn(error: unknown): TokenError | undefined {
  if (error instanceof TokenError) return error;
  return error instanceof Error && error.cause !== undefined ? tokenErrorIn(error.cause) : undefined;
}

/** Our own words and the library's, which are names: pkcs11js says nothing of what it was given. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return 'something that is no error was thrown';
  if (error instanceof TokenError) return error.message;
  return error.cause === undefined ? error.message : `${error.message}: ${wordsOf(error.cause)}`;
}
