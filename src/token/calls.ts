// The token's calls, each with its number and what it carries: the one description from which the gateway's end is made, which the host's
// handlers must match, and which docs/formats/token-ipc.md prints. A call of the port that is not here, or is other here, does not compile.
import { macAlgorithms } from '../model/key-specs.js';
import { tokenKinds, type TokenInfo } from '../model/token-key.js';
import { isDaemonKey, type Token } from '../ports/token.js';
import {
  fixed,
  flag,
  integer,
  items,
  json,
  name,
  nothing,
  optional,
  record,
  secret,
  sequence,
  time,
  varying,
} from './fields.js';
import type { Field } from './fields.js';

/**
 * What a call is to the host: `using` keys, as many at once as the token takes; `making` one, which may take it seconds and holds up nothing
 * else; `keeping` order among its objects.
 */
export type Work = 'using' | 'making' | 'keeping';

/** One call: numbers are never given a second meaning. */
export interface Call<Args extends readonly unknown[], Answer> {
  readonly op: number;
  readonly work: Work;
  readonly args: Field<Args>;
  readonly answer: Field<Answer>;
}

export type ArgsOf<M extends keyof Token> = Readonly<Parameters<Token[M]>>;
export type AnswerOf<M extends keyof Token> = Awaited<ReturnType<Token[M]>>;

export const ckaIdBytes = 16;
/** Most random bytes of one call (AWS KMS, GenerateRandom and GenerateDataKey: NumberOfBytes). */
const maxRandomBytes = 1024;
const maxInventoryPage = 8192;

const ckaId = fixed('id', ckaIdBytes);
const aad = fixed('aad', 32);
const plaintext = secret(varying('plaintext'));
const sealed = varying('sealed');
const randomLength = integer('n', 1, maxRandomBytes);
const dueAt = time('t');
/** The host refuses these, too. */
const usersCkaId = fixed('id', ckaIdBytes, (value) => {
  if (isDaemonKey(value)) throw new RangeError('the CKA_ID is the daemon’s own');
});
const kind = name('kind', tokenKinds);
const macAlgorithm = name('algorithm', macAlgorithms);
const message = secret(varying('message'));
const ckaIds = items('ids', ckaId);
const usersCkaIds = items('ids', usersCkaId);

export const calls = {
  info: {
    op: 1,
    work: 'keeping',
    args: sequence(),
    answer: json<TokenInfo>('JSON: label, serial, algorithms, callsInFlight'),
  },
  generateKey: { op: 2, work: 'making', args: sequence(usersCkaId, kind), answer: nothing },
  inventory: {
    op: 4,
    work: 'keeping',
    args: sequence(optional(ckaId), integer('limit', 1, maxInventoryPage)),
    answer: ckaIds,
  },
  encrypt: { op: 5, work: 'using', args: sequence(ckaId, aad, plaintext), answer: sealed },
  decrypt: { op: 6, work: 'using', args: sequence(ckaId, aad, sealed), answer: plaintext },
  reEncrypt: {
    op: 7,
    work: 'using',
    args: sequence(record({ ckaId, aad, sealed }), record({ ckaId, aad })),
    answer: sealed,
  },
  generateDataKey: {
    op: 8,
    work: 'using',
    args: sequence(ckaId, aad, randomLength),
    answer: record({ plaintext, sealed }),
  },
  generateDataKeyWithoutPlaintext: { op: 9, work: 'using', args: sequence(ckaId, aad, randomLength), answer: sealed },
  random: { op: 10, work: 'using', args: sequence(randomLength), answer: secret(varying('n bytes')) },
  createDaemonKeys: { op: 11, work: 'keeping', args: sequence(), answer: nothing },
  macRow: { op: 12, work: 'using', args: sequence(varying('data')), answer: fixed('32 bytes', 32) },
  holds: {
    op: 13,
    work: 'keeping',
    args: sequence(ckaId),
    answer: flag('1 there is an object with this id, 0 there is none'),
  },
  scheduleDestruction: {
    op: 14,
    work: 'keeping',
    args: sequence(usersCkaIds, dueAt),
    answer: flag('1 recorded in the token, 0 this token keeps no records'),
  },
  cancelDestruction: { op: 15, work: 'keeping', args: sequence(ckaIds), answer: nothing },
  destroyScheduled: {
    op: 16,
    work: 'keeping',
    args: sequence(usersCkaIds, dueAt),
    answer: flag('1 all are gone, 0 the token has no such record and nothing was destroyed'),
  },
  generateMac: { op: 17, work: 'using', args: sequence(ckaId, macAlgorithm, message), answer: varying('mac') },
  verifyMac: {
    op: 18,
    work: 'using',
    args: sequence(ckaId, macAlgorithm, message, varying('mac')),
    answer: flag('1 it is the message’s MAC, 0 it is not'),
  },
} as const satisfies { readonly [M in keyof Token]: Call<ArgsOf<M>, AnswerOf<M>> };

/** Makes one call; resolves with its answer. RangeError for arguments that are none. */
export type Ask = <Args extends readonly unknown[], Answer>(call: Call<Args, Answer>, args: Args) => Promise<Answer>;

/** The gateway's end: each call of the table is a method. */
export class TokenCalls {
  readonly ask: Ask;

  constructor(ask: Ask) {
    this.ask = ask;
  }
}

for (const [method, call] of Object.entries(calls) as [string, Call<readonly unknown[], unknown>][]) {
  Object.defineProperty(TokenCalls.prototype, method, {
    writable: true,
    configurable: true,
    value(this: TokenCalls, ...args: readonly unknown[]) {
      return this.ask(call, args);
    },
  });
}

/** The table has every method of the port, with its types: `satisfies` above. */
export const tokenOver = (ask: Ask): Token => new TokenCalls(ask) as unknown as Token;
