// The token as a gateway has it: requests pipelined over a UNIX socket to the token host, askers in turn. A request is sent once at most,
// and every one is settled: by its answer, by its deadline, or by the host's death. Nothing here is ever replayed.
import { connect, type Socket } from 'node:net';
import type { MonotonicClock } from '../kernel/clock.js';
import { BridgeError, type ErrorCode } from '../kernel/errors.js';
import type { Cancel, Timers } from '../kernel/timers.js';
import { DaemonKeyMissing, NothingMade, theDaemon, type Asker, type Token } from '../ports/token.js';
import { tokenOver, type Call as TokenCall } from './calls.js';
import { type Field, Malformed } from './fields.js';
import { FrameDecoder, FrameWriter, maxPayloadBytes } from './frames.js';
import { Silence } from './silence.js';
import { placesOf, Turns, type Call, type Queue, type TurnsOptions } from './turns.js';
import { statuses } from './wire.js';

export interface TokenClientOptions {
  readonly socketPath: string;
  /** From the call to its answer, waiting for the host included. */
  readonly deadlineMs: number;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** The host had something to do for a whole deadline and answered nothing: it hangs. Called once for each connection. */
  readonly onOverrun: () => void;
  /** How many requests there may be; one more gets ThrottlingException. */
  readonly turns?: Partial<TurnsOptions>;
}

export interface TokenClient {
  /** The token for the calls of one account or of the daemon. They are as many as are configured; each is remembered. */
  as(asker: Asker): Token;
  /** Requests that wait for their turn, or for a host. */
  readonly waiting: number;
  /** The host is (again) listening: connect. */
  ready(): void;
  /**
   * The host is gone: what it was given fails, what it was not waits for `ready` within its deadline. `broken`: none will follow, so
   * that nothing waits and every call fails at once.
   */
  down(broken?: boolean): void;
  close(): Promise<void>;
}

/**
 * A host answers in groups of 32: while a gateway works on one, it works on the next. So the window holds two for an account that is alone,
 * some 2 ms of a host's time, and as much again for others. In the room an account that is alone can have all the calls that its budget allows.
 */
const defaultTurns: TurnsOptions = { window: 128, room: 4096, roomWhileAway: 512 };
const readBufferBytes = 64 * 1024;

interface Pending extends Call<Pending> {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: Error) => void;
  readonly answer: Field<unknown>;
  readonly deadlineAtMs: number;
  /** The request, while it waits to be sent. */
  held: Held | undefined;
}

interface Held {
  readonly id: number;
  readonly call: TokenCall<readonly unknown[], unknown>;
  readonly args: readonly unknown[];
  readonly bytes: number;
}

export function connectToken(options: TokenClientOptions): TokenClient {
  return new SocketToken(options);
}

class SocketToken implements TokenClient {
  readonly #options: TokenClientOptions;
  readonly #turns: Turns<Pending>;
  readonly #askers = new Map<Asker, Token>();
  readonly #endLooking: Cancel;
  readonly #flush: () => void;
  /** In the order of their calls, so in the order of their deadlines. */
  readonly #pending = new Map<number, Pending>();
  /** Requests of this connection whose answers nobody waits for any more. */
  readonly #late = new Map<number, Pending>();
  readonly #silence: Silence;
  readonly #readBuffer = Buffer.alloc(readBufferBytes);
  #writer: FrameWriter | undefined;
  #socket: Socket | undefined;
  #nextId = 0;
  #flushScheduled = false;
  #connectAgain = false;
  #broken = false;
  #closed = false;

  constructor(options: TokenClientOptions) {
    this.#options = options;
    this.#turns = new Turns({ ...defaultTurns, ...options.turns });
    const lookEveryMs = Math.min(100, Math.max(5, Math.floor(options.deadlineMs / 10)));
    this.#silence = new Silence(options.deadlineMs, lookEveryMs);
    // Not in the timer itself: answers that lie in the socket, because this process was busy, are read first.
    const { timers } = options;
    this.#endLooking = timers.every(lookEveryMs, () => timers.soon(() => this.#look()));
    this.#flush = () => {
      this.#flushScheduled = false;
      this.#writer?.flush();
    };
  }

  as(asker: Asker): Token {
    const known = this.#askers.get(asker);
    if (known !== undefined) return known;
    const queue = this.#turns.queue(asker === theDaemon);
    const token = tokenOver((call, args) => this.#call(queue, call, args));
    this.#askers.set(asker, token);
    return token;
  }

  get waiting(): number {
    return this.#turns.waiting;
  }

  ready(): void {
    if (this.#closed) return;
    this.#broken = false;
    // The old host's end may not have been noticed yet: its socket still has to fail what it was given.
    if (this.#socket === undefined) this.#connect();
    else this.#connectAgain = true;
  }

  down(broken = false): void {
    this.#connectAgain = false;
    this.#broken = broken;
    this.#lose();
    if (broken) this.#rejectAll();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#endLooking();
    const socket = this.#socket;
    const gone =
      socket === undefined ? undefined : new Promise<void>((resolve) => socket.once('close', () => resolve()));
    this.#lose();
    this.#rejectAll();
    await gone;
  }

  #call<Args extends readonly unknown[], Answer>(
    queue: Queue<Pending>,
    call: TokenCall<Args, Answer>,
    args: Args,
  ): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      const bytes = call.args.measure(args);
      if (bytes > maxPayloadBytes) throw new RangeError(`call ${call.op}: ${bytes} bytes do not fit into a frame`);
      if (this.#closed || this.#broken) throw hostAway();
      // What is late still takes the host's time: it is not given more than it can keep up with.
      if (!this.#turns.admits(queue)) throw new BridgeError('ThrottlingException', 'Rate exceeded');
      const id = this.#nextId;
      this.#nextId = (id + 1) >>> 0;
      const pending: Pending = {
        queue,
        places: placesOf(bytes),
        resolve: resolve as (value: unknown) => void,
        reject,
        answer: call.answer,
        deadlineAtMs: this.#options.clock.monotonicMs() + this.#options.deadlineMs,
        held: undefined,
      };
      this.#pending.set(id, pending);
      if (this.#turns.enter(pending)) this.#send(pending, id, call, args, bytes);
      else pending.held = { id, call, args, bytes };
    });
  }

  /** Whatever may be sent of what waits. */
  #sendWaiting(): void {
    for (let pending = this.#turns.next(); pending !== undefined; pending = this.#turns.next()) {
      if (pending.held === undefined) continue;
      const { id, call, args, bytes } = pending.held;
      pending.held = undefined;
      this.#send(pending, id, call, args, bytes);
    }
  }

  #send<Args extends readonly unknown[]>(
    { places }: Pending,
    id: number,
    { op, args: field }: TokenCall<Args, unknown>,
    args: Args,
    bytes: number,
  ): void {
    const writer = this.#writer;
    if (writer === undefined) throw new Error('there is no host to send to');
    // Its silence begins when it first has something to do.
    if (this.#turns.atHost === places) this.#silence.heard();
    field.write(args, writer.reserve(bytes), 0);
    writer.commit(id, op, bytes);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#options.timers.soon(this.#flush);
  }

  #connect(): void {
    this.#connectAgain = false;
    this.#silence.reset();
    const decoder = new FrameDecoder((id, status, payload) => this.#answer(id, status, payload));
    const socket: Socket = connect({
      path: this.#options.socketPath,
      onread: {
        buffer: this.#readBuffer,
        callback: (length) => {
          if (this.#socket === socket && !decoder.push(this.#readBuffer.subarray(0, length))) socket.destroy();
          return true;
        },
      },
    });
    this.#socket = socket;
    socket.on('connect', () => {
      if (this.#socket === socket) this.#connected(socket);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#lose();
      if (this.#connectAgain) this.#connect();
    });
  }

  #connected(socket: Socket): void {
    const writer = new FrameWriter((bytes, written) => socket.write(bytes, written));
    this.#writer = writer;
    this.#turns.open();
    this.#sendWaiting();
  }

  /** Forgets the connection; what was sent over it fails, because its effect is unknown. */
  #lose(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#writer = undefined;
    this.#turns.close();
    for (const late of this.#late.values()) this.#turns.leave(late);
    this.#late.clear();
    for (const [id, pending] of this.#pending) if (pending.held === undefined) this.#fail(id, pending, hostAway());
  }

  #rejectAll(): void {
    for (const [id, pending] of this.#pending) this.#fail(id, pending, hostAway());
  }

  #fail(id: number, pending: Pending, why: BridgeError): void {
    this.#pending.delete(id);
    this.#turns.leave(pending);
    pending.reject(why);
  }

  #answer(id: number, status: number, payload: Buffer): boolean {
    this.#silence.heard();
    if (status === statuses.alive) return true;
    const pending = this.#pending.get(id);
    // Of a request that was not sent, no answer can be.
    if (pending === undefined || pending.held !== undefined) {
      this.#answeredLate(id);
      return true;
    }
    this.#pending.delete(id);
    this.#turns.leave(pending);
    this.#sendWaiting();
    if (status !== statuses.ok) {
      pending.reject(errorOf(status));
      return true;
    }
    try {
      pending.resolve(pending.answer.read(Buffer.from(payload), 0, payload.length));
      return true;
    } catch (error) {
      pending.reject(new BridgeError('KMSInternalException', undefined, { cause: error }));
      return !(error instanceof Malformed);
    }
  }

  #answeredLate(id: number): void {
    const late = this.#late.get(id);
    if (late === undefined) return;
    this.#late.delete(id);
    this.#turns.leave(late);
    this.#sendWaiting();
  }

  /** Fails what is past its deadline. That says nothing of the host, which may be busy with others; silence does. */
  #look(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#silence.tooLong(nowMs, this.#turns.atHost > 0)) this.#options.onOverrun();
    for (const [id, pending] of this.#pending) {
      if (pending.deadlineAtMs > nowMs) return;
      this.#pending.delete(id);
      if (pending.held === undefined) this.#late.set(id, pending);
      else this.#turns.leave(pending);
      pending.reject(because('DependencyTimeoutException', 'the token did not answer within the deadline'));
    }
  }
}

/** What the caller of the API hears, and why, which is for the operational log alone. */
const because = (code: ErrorCode, why: string): BridgeError =>
  new BridgeError(code, undefined, { cause: new Error(why) });

const hostAway = (): BridgeError => because('KMSInternalException', 'the token host is away');

function errorOf(status: number): BridgeError {
  if (status === statuses.keyUnavailable) return because('KeyUnavailableException', 'the token has no such key');
  if (status === statuses.invalidCiphertext) return new BridgeError('InvalidCiphertextException');
  if (status === statuses.nothingMade) return new NothingMade();
  if (status === statuses.daemonKeyMissing) return new DaemonKeyMissing();
  if (status === statuses.daemonKeysExist) {
    return new BridgeError('KMSInternalException', 'The token already holds the daemon’s own keys.');
  }
  return because('KMSInternalException', 'the token refused, or is lost: its host says more');
}
