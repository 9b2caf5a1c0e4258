// A further thread of the token host, with a session of its own: it performs one request after the other while others perform theirs. The login is
// the process's, and its main thread's to make; the PIN is not here.
import { receiveMessageOnPort } from 'node:worker_threads';
import { systemClock } from '../../kernel/clock.js';
import { maxPayloadBytes } from '../frames.js';
import { ckrName } from './ckr.js';
import { ThreadIndex, AskIndex } from './thread-index.js';
import { ThreadMemory } from './thread-memory.js';
import type { ThreadData, ThreadNews, ThreadOrder } from './thread-messages.js';
import { loadLibrary } from './library.js';
import { Performer, type Performed } from './performer.js';
import { TokenSession } from './session.js';
import { describeTrouble } from './trouble.js';

const nothing = Buffer.alloc(0);

/** Bytes of its own, of which it takes more when it needs more: a request or an answer is seldom long. */
class Room {
  #bytes = Buffer.alloc(4096);
  #usedBytes = 0;

  take(bytes: number): Buffer {
    if (bytes > maxPayloadBytes) throw new RangeError('the payload does not fit into a frame');
    if (bytes > this.#bytes.length) {
      this.clear();
      this.#bytes = Buffer.alloc(2 * bytes);
    }
    this.#usedBytes = Math.max(this.#usedBytes, bytes);
    return this.#bytes.subarray(0, bytes);
  }

  clear(): void {
    this.#bytes.fill(0, 0, this.#usedBytes);
    this.#usedBytes = 0;
  }
}

/** An answer in the making, as a FrameWriter takes it. */
class AnswerRoom {
  readonly #room = new Room();
  #bytes = 0;
  status = 0;

  reserve(bytes: number): Buffer {
    return this.#room.take(bytes);
  }

  commit(_id: number, status: number, bytes: number): void {
    this.status = status;
    this.#bytes = bytes;
  }

  get payload(): Buffer {
    return this.#room.take(this.#bytes);
  }

  clear(): void {
    this.#room.clear();
  }
}

class PerformingThread {
  readonly #port: ThreadData['port'];
  readonly #memory: ThreadMemory;
  readonly #session: TokenSession;
  readonly #index: ThreadIndex;
  readonly #performer: Performer;
  readonly #request = new Room();
  readonly #answer = new AnswerRoom();
  #isToEnd = false;

  constructor({ profile, modulePath, info, shared, thread, port, ...data }: ThreadData) {
    this.#port = port;
    this.#memory = new ThreadMemory(shared, thread);
    const token = { ...data.token, slot: Buffer.from(data.token.slot) };
    this.#session = new TokenSession(loadLibrary(profile, modulePath), token);
    if (!this.#session.isLoggedIn()) throw new Error('the session is not logged in');
    this.#index = new ThreadIndex(this.#session, (news) => this.#tell(news));
    this.#performer = new Performer({
      session: this.#session,
      profile,
      info,
      index: this.#index,
      clock: systemClock,
      onTrouble: (error, lost) => this.#tell({ type: 'trouble', trouble: describeTrouble(error, lost) }),
    });
  }

  /** Until it is not needed, the token is lost, or the process ends. */
  run(): void {
    this.#tell({ type: 'ready' });
    while (!this.#isToEnd) {
      const place = this.#memory.next();
      // After it was taken: what was ordered before it was given counts for it.
      if (this.#memory.hasOrders()) this.#hearOrders();
      if (place !== undefined) this.#perform(place);
    }
    this.#session.close();
  }

  #tell(news: ThreadNews): void {
    this.#port.postMessage(news);
    this.#memory.sentNews();
  }

  #hearOrders(): void {
    for (;;) {
      const order = receiveMessageOnPort(this.#port)?.message as ThreadOrder | undefined;
      if (order === undefined) return;
      if (order.type === 'hint') this.#index.hint(order.hint);
      else if (order.type === 'end') this.#isToEnd = true;
      else this.#forget(Buffer.from(order.ckaId, 'hex'));
    }
  }

  #forget(ckaId: Buffer): void {
    this.#index.forget(ckaId);
    try {
      this.#performer.forget(ckaId);
    } catch (error) {
      // A session that is lost has taken its copies with it.
      this.#performer.recoverSession(error);
    }
  }

  #perform(place: number): void {
    try {
      const op = this.#memory.opOf(place);
      const payload = this.#request.take(this.#memory.bytesOf(place));
      this.#memory.takeRequest(place, payload);
      let outcome: Performed;
      while ((outcome = this.#performOnce(op, payload)) instanceof AskIndex) this.#ask(outcome);
      if (outcome === 'answered') this.#memory.answer(place, this.#answer.status, this.#answer.payload);
      else if (outcome === 'malformed') this.#memory.answer(place, undefined, nothing);
      else throw outcome;
    } finally {
      this.#request.clear();
      this.#answer.clear();
    }
  }

  #performOnce(op: number, payload: Buffer): Performed {
    const outcome = this.#performer.perform(0, op, payload, this.#answer);
    this.#performer.endTurn();
    return outcome;
  }

  #ask({ ckaId, search }: AskIndex): void {
    this.#tell({ type: 'ask', ckaId: ckaId.toString('hex'), search });
    this.#memory.waitForTold();
    this.#hearOrders();
  }
}

/** Performs what the pool gives, until the thread is to end. */
export function performAsThread(data: ThreadData): void {
  try {
    new PerformingThread(data).run();
  } catch (error) {
    data.port.postMessage(lostBy(error));
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
