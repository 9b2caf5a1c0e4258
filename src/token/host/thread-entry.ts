// A further thread of the token host, with a session of its own: it performs one request after the other while others perform theirs. The login is
// the process's, and its main thread's to make; the PIN is not here.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../kernel/clock.js';
import { maxPayloadBytes } from '../frames.js';
import { ckrName } from './ckr.js';
import { ThreadIndex, AskIndex } from './thread-index.js';
import { ThreadMemory, type ThreadRequest } from './thread-memory.js';
import type { ThreadData, ThreadNews, ThreadOrder } from './thread-messages.js';
import { loadLibrary } from './library.js';
import { Performer } from './performer.js';
import { TokenSession } from './session.js';
import { describeTrouble } from './trouble.js';

const tell = (news: ThreadNews): void => parentPort?.postMessage(news);

/** An answer in the making, as a FrameWriter takes it. */
class AnswerRoom {
  readonly #room = Buffer.alloc(maxPayloadBytes);
  #status = 0;
  #bytes = 0;
  #usedBytes = 0;

  reserve(bytes: number): Buffer {
    this.#usedBytes = Math.max(this.#usedBytes, bytes);
    return this.#room.subarray(0, bytes);
  }

  commit(_id: number, status: number, bytes: number): void {
    this.#status = status;
    this.#bytes = bytes;
  }

  copyTo(memory: ThreadMemory): void {
    memory.answer(this.#status, this.#room.subarray(0, this.#bytes));
  }

  clear(): void {
    this.#room.fill(0, 0, this.#usedBytes);
    this.#usedBytes = 0;
  }
}

class PerformingThread {
  readonly #data: ThreadData;
  readonly #memory: ThreadMemory;
  readonly #index: ThreadIndex;
  readonly #performer: Performer;
  readonly #room = new AnswerRoom();

  constructor(data: ThreadData) {
    this.#data = data;
    this.#memory = new ThreadMemory(data.buffers);
    const { profile, modulePath } = data;
    const token = { ...data.token, slot: Buffer.from(data.token.slot) };
    const session = new TokenSession(loadLibrary(profile, modulePath), token);
    if (!session.isLoggedIn()) throw new Error('the session is not logged in');
    this.#index = new ThreadIndex(session, tell);
    this.#performer = new Performer({
      session,
      profile,
      info: data.info,
      index: this.#index,
      clock: systemClock,
      onTrouble: (error, lost) => tell({ type: 'trouble', trouble: describeTrouble(error, lost) }),
    });
  }

  /** Until the process ends, or the token is lost. */
  run(): void {
    tell({ type: 'ready' });
    for (;;) {
      this.#memory.sleep();
      const request = this.#memory.takeRequest();
      // After it was taken: what was ordered before it was given counts for it.
      this.#hearOrders();
      if (request !== undefined) this.#perform(request);
    }
  }

  #hearOrders(): void {
    for (;;) {
      const order = receiveMessageOnPort(this.#data.orders)?.message as ThreadOrder | undefined;
      if (order === undefined) return;
      if (order.type === 'hint') this.#index.hint(order.hint);
      else {
        const ckaId = Buffer.from(order.ckaId, 'hex');
        this.#index.forget(ckaId);
        try {
          this.#performer.forget(ckaId);
        } catch (error) {
          // A session that is lost has taken its copies with it.
          this.#performer.recoverSession(error);
        }
      }
    }
  }

  #perform({ op, payload }: ThreadRequest): void {
    try {
      const outcome = this.#performer.perform(0, op, payload, this.#room);
      this.#performer.endTurn();
      if (outcome === 'answered') {
        this.#room.copyTo(this.#memory);
        tell({ type: 'answered' });
      } else if (outcome === 'malformed') tell({ type: 'malformed' });
      else if (outcome instanceof AskIndex) {
        tell({ type: 'ask', ckaId: outcome.ckaId.toString('hex'), search: outcome.search });
      } else throw outcome;
    } finally {
      payload.fill(0);
      this.#room.clear();
    }
  }
}

function lostBy(error: unknown): ThreadNews {
  const isToken = !isWithoutSession(error);
  return { type: 'lost', isToken, trouble: describeTrouble(error, isToken ? 'token' : 'session') };
}

/** The token is at its cap: other threads have their sessions. */
function isWithoutSession(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return ckrName(cause) === 'CKR_SESSION_COUNT';
}

// The thread ends with it.
try {
  new PerformingThread(workerData as ThreadData).run();
} catch (error) {
  tell(lostBy(error));
}
