// One request after the other, performed on the token. Each is answered exactly once; it runs a second time only when the token
// certainly did nothing the first time.
import type { MonotonicClock } from '../../kernel/clock.js';
import type { TokenInfo } from '../../model/token-key.js';
import type { Token } from '../../ports/token.js';
import { calls, type Call } from '../calls.js';
import { Malformed } from '../fields.js';
import type { FrameWriter } from '../frames.js';
import { statuses, type Status } from '../wire.js';
import { Cipher } from './cipher.js';
import { meaningsOf, type MeaningOf } from './ckr.js';
import { DeletionRecords } from './deletion-records.js';
import { RequestFault, TokenLost } from './fault.js';
import { createHandlers, type Reserve } from './handlers.js';
import { KeyHandles } from './handles.js';
import { KeyObjects } from './objects.js';
import { AskIndex } from './thread-index.js';
import { type KeyIndex, NotReadYet } from './object-index.js';
import type { Profile } from './profile.js';
import type { TokenSession } from './session.js';
import { lossOf, type OnTrouble } from './trouble.js';
import { WellCheck } from './well-check.js';

/** What became of a request: it was answered, makes no sense and gets no answer, or waits for the index and is to be performed again. */
export type Performed = 'answered' | 'malformed' | NotReadYet | AskIndex;

/** Where answers are put. */
export type Answers = Pick<FrameWriter, 'reserve' | 'commit'>;

interface Operation {
  readonly call: Call<readonly unknown[], unknown>;
  readonly makes: boolean | undefined;
  readonly isMade: ((args: readonly unknown[]) => boolean) | undefined;
  readonly run: (args: readonly unknown[], reserve: Reserve) => unknown;
}

export interface PerformerOptions {
  readonly session: TokenSession;
  readonly profile: Profile;
  readonly info: TokenInfo;
  readonly index: KeyIndex;
  readonly clock: MonotonicClock;
  /** Told of what went wrong and was mended, or lost no more than a session; a lost token is the caller's to tell. */
  readonly onTrouble: OnTrouble;
  /** A key was destroyed: whatever other sessions have of it must go, too. */
  readonly onForget?: (ckaId: Buffer) => void;
  /** A gateway is told that there is no such key. */
  readonly onAbsent?: (ckaId: Buffer) => void;
}

export class Performer {
  readonly #session: TokenSession;
  readonly #cipher: Cipher;
  readonly #index: KeyIndex;
  readonly #objects: KeyObjects;
  readonly #deletions: DeletionRecords;
  readonly #keys: KeyHandles;
  readonly #wellCheck: WellCheck;
  readonly #meaningOf: MeaningOf;
  readonly #onTrouble: OnTrouble;
  /** By number. */
  readonly #operations: readonly (Operation | undefined)[];
  #out: Answers | undefined;
  readonly #reserve: Reserve = (bytes) => {
    if (this.#out === undefined) throw new Error('no request is being performed');
    return this.#out.reserve(bytes);
  };

  constructor(options: PerformerOptions) {
    const { session, profile, info, index, clock, onTrouble } = options;
    this.#session = session;
    this.#meaningOf = meaningsOf(profile.answers);
    this.#onTrouble = onTrouble;
    this.#cipher = new Cipher(session, profile);
    this.#index = index;
    this.#objects = new KeyObjects(session, this.#index);
    this.#deletions = new DeletionRecords(session, profile.dataObjects.value);
    this.#keys = new KeyHandles({ session, copies: profile.sessionCopies.value, clock, index: this.#index });
    this.#wellCheck = new WellCheck({ session, index: this.#index, clock });
    const handlers = createHandlers({
      info,
      cipher: this.#cipher,
      keys: this.#keys,
      forget: (ckaId) => {
        this.#keys.forget(ckaId);
        options.onForget?.(ckaId);
      },
      saidAbsent: (ckaId) => options.onAbsent?.(ckaId),
      objects: this.#objects,
      deletions: this.#deletions,
    });
    const table: Operation[] = [];
    for (const method of Object.keys(calls) as (keyof Token)[]) {
      // `Handlers` has matched the two by name.
      const { run, makes, isMade } = handlers[method] as unknown as Omit<Operation, 'call'>;
      const call = calls[method] as Call<readonly unknown[], unknown>;
      table[call.op] = { call, makes, isMade, run };
    }
    this.#operations = table;
  }

  /** To be called when all that was read is performed, before anything else is read. */
  endTurn(): void {
    this.#cipher.endTurn();
    this.#keys.endTurn();
  }

  /** The key is destroyed: whatever this session has of it goes, too. */
  forget(ckaId: Buffer): void {
    this.#keys.forget(ckaId);
  }

  /** Throws TokenLost, after answering, when the token is lost. */
  perform(id: number, op: number, payload: Buffer, out: Answers): Performed {
    const operation = this.#operations[op];
    if (operation === undefined) return 'malformed';
    this.#out = out;
    for (let mayRepeat = operation.makes !== true; ; mayRepeat = false) {
      try {
        out.commit(id, statuses.ok, this.#run(operation, payload));
        return 'answered';
      } catch (error) {
        if (error instanceof Malformed) return 'malformed';
        if (error instanceof NotReadYet || error instanceof AskIndex) return error;
        try {
          const status = this.#recover(error, operation, payload, mayRepeat);
          if (status === 'again') continue;
          out.commit(id, statuses[status], 0);
          return 'answered';
        } catch (lost) {
          out.commit(id, statuses.internal, 0);
          throw lost;
        }
      }
    }
  }

  /** The answer's length in bytes; it lies in the frame. */
  #run({ call, run }: Operation, payload: Buffer): number {
    const answer = run(call.args.read(payload, 0, payload.length), this.#reserve);
    if (typeof answer === 'number') return answer;
    const bytes = call.answer.measure(answer);
    call.answer.write(answer, this.#reserve(bytes), 0);
    return bytes;
  }

  /** Makes the session sound again and says what the caller hears. TokenLost when that is not possible. */
  #recover(error: unknown, { call, isMade }: Operation, payload: Buffer, mayRepeat: boolean): Status | 'again' {
    if (error instanceof TokenLost) throw error;
    if (error instanceof RequestFault) {
      if (error.status === 'internal' || error.status === 'nothingMade') this.#onTrouble(error, 'nothing');
      return error.status;
    }
    const meaning = this.#meaningOf(error);
    if (meaning.lost === 'token' || meaning.lost === 'login')
      throw new TokenLost('the token is lost', { cause: error });
    const isStale = meaning.lost !== 'nothing' || (meaning.ask === true && !this.#wellCheckedSession(error));
    if (isStale) this.#replaceSession();
    // What a caller sent is no trouble of ours.
    if (meaning.says === 'internal' || isStale)
      this.#onTrouble(error, isStale && meaning.lost === 'nothing' ? 'session' : lossOf(meaning.lost));
    if (isMade !== undefined) return this.#isMade(() => isMade(call.args.read(payload, 0, payload.length)));
    if (meaning.again && mayRepeat) return 'again';
    return meaning.says === 'invalidSignature' ? 'internal' : meaning.says;
  }

  /** What an earlier call left active in the session may be in the way of looking. */
  #isMade(look: () => boolean): Status {
    let isMade: boolean;
    try {
      isMade = look();
    } catch (error) {
      if (!this.#meaningOf(error).again) throw error;
      this.#replaceSession();
      isMade = look();
    }
    return isMade ? 'internal' : 'nothingMade';
  }

  /** For a call that was made in the session beside the requests: replaces the session where that is what was lost, and else throws the error. */
  recoverSession(error: unknown): void {
    if (this.#meaningOf(error).lost !== 'session') throw error;
    this.#onTrouble(error, 'session');
    this.#replaceSession();
  }

  #wellCheckedSession(cause: unknown): boolean {
    try {
      return this.#wellCheck.isSessionWell();
    } catch (error) {
      // Both are told: what was asked for, and what came of asking.
      this.#onTrouble(cause, 'token');
      throw error;
    }
  }

  #replaceSession(): void {
    this.#session.replace();
    this.#keys.forgetAll();
    this.#deletions.forget();
    this.#index.recheck();
  }
}
