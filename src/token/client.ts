// The token as a gateway has it: requests pipelined over a UNIX socket to the token host, askers in turn. A request is sent once at most,
// and every one is settled: by its answer, by its deadline, or by the host's death. Nothing here is ever replayed.
import { connect, type IpcSocketConnectOpts, type Socket } from 'node:net';
import type { MonotonicClock } from '../kernel/clock.js';
import { BridgeError, type ErrorCode } from '../kernel/errors.js';
import type { Cancel, Timers } from '../kernel/timers.js';
import { DaemonKeyMissing, NothingMade, theDaemon, type Asker, type Token } from '../ports/token.js';
import { tokenOver, type Call as TokenCall } from './calls.js';
import { Malformed } from './fields.js';
import { FrameDecoder, FrameWriter, maxPayloadBytes } from './frames.js';
import { Silence } from './silence.js';
import { Traffic, type Pending, type TrafficState } from './traffic.js';
import { placesOf, type Queue, type TurnsOptions } from './turns.js';
import { statuses } from './wire.js';

export interface TokenClientOptions {
  readonly socketPath: string;
  /** From the call to its answer, waiting for the host included. Making a key may take longer once there is a host. */
  readonly deadlineMs: number;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** The host had something to do for a whole deadline and answered nothing: it hangs. Called once for each connection. */
  readonly onOverrun: () => void;
  /** `connect` of node:net; a simulation brings its own. */
  readonly connect?: Connect;
  /** How many requests that use keys there may be; one more gets ThrottlingException. */
  readonly turns?: Partial<TurnsOptions>;
}

/** What is used of a connection. */
export type Connection = Pick<Socket, 'write' | 'destroy'> & {
  on(event: 'connect' | 'close' | 'error', listener: () => void): unknown;
  once(event: 'close', listener: () => void): unknown;
};
export type Connect = (options: IpcSocketConnectOpts) => Connection;

export interface TokenClient {
  /** The token for the calls of one account or of the daemon. They are as many as are configured; each is remembered. */
  as(asker: Asker): Token;
  /** Keys are made beside the other calls, which do not wait for them. */
  state(work: 'using' | 'making'): TrafficState;
  /** The host is (again) listening: connect. `callsInFlight`: how many calls that use keys its token takes at once. */
  ready(callsInFlight?: number): void;
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
const usingTurns: TurnsOptions = { window: 128, room: 4096, roomWhileAway: 512 };
/**
 * Where the host performs several at once it has as many again waiting for each account that is alone: what lies there is nobody's turn any more,
 * and a device's calls take long.
 */
const windowOf = (callsInFlight: number): number | undefined => (callsInFlight > 1 ? 4 * callsInFlight : undefined);
/** A key may take seconds to make, and others wait for theirs: few are let in, and each has a minute. */
const makingTurns: TurnsOptions = { window: 16, room: 64, roomWhileAway: 16 };
const makingDeadlineMs = 60_000;
const readBufferBytes = 64 * 1024;

export function connectToken(options: TokenClientOptions): TokenClient {
  return new SocketToken(options);
}

class SocketToken implements TokenClient {
  readonly #options: TokenClientOptions;
  /** Calls that keep order among keys are few: they go with those that use keys. */
  readonly #using: Traffic;
  readonly #making: Traffic;
  readonly #askers = new Map<Asker, Token>();
  readonly #endLooking: Cancel;
  readonly #flush: () => void;
  readonly #silence: Silence;
  readonly #readBuffer = Buffer.alloc(readBufferBytes);
  #callsInFlight = 1;
  #writer: FrameWriter | undefined;
  #socket: Connection | undefined;
  #nextId = 0;
  #flushScheduled = false;
  #connectAgain = false;
  #broken = false;
  #closed = false;

  constructor(options: TokenClientOptions) {
    this.#options = options;
    const { deadlineMs, clock, timers } = options;
    this.#using = new Traffic({ turns: { ...usingTurns, ...options.turns }, deadlineMs, awayMs: deadlineMs, clock });
    this.#making = new Traffic({
      turns: makingTurns,
      deadlineMs: Math.max(deadlineMs, makingDeadlineMs),
      awayMs: deadlineMs,
      clock,
    });
    const lookEveryMs = Math.min(100, Math.max(5, Math.floor(deadlineMs / 10)));
    this.#silence = new Silence(deadlineMs, lookEveryMs);
    // Not in the timer itself: answers that lie in the socket, because this process was busy, are read first.
    this.#endLooking = timers.every(lookEveryMs, () => timers.soon(() => this.#look()));
    this.#flush = () => {
      this.#flushScheduled = false;
      this.#writer?.flush();
    };
  }

  as(asker: Asker): Token {
    const known = this.#askers.get(asker);
    if (known !== undefined) return known;
    const own = asker === theDaemon;
    const [using, making] = [this.#using.queue(own), this.#making.queue(own)];
    const token = tokenOver((call, args) =>
      call.work === 'making'
        ? this.#call(this.#making, making, call, args)
        : this.#call(this.#using, using, call, args),
    );
    this.#askers.set(asker, token);
    return token;
  }

  state(work: 'using' | 'making'): TrafficState {
    return (work === 'making' ? this.#making : this.#using).state;
  }

  ready(callsInFlight = 1): void {
    if (this.#closed) return;
    this.#broken = false;
    this.#callsInFlight = callsInFlight;
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
    traffic: Traffic,
    queue: Queue<Pending>,
    call: TokenCall<Args, Answer>,
    args: Args,
  ): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      const bytes = call.args.measure(args);
      if (bytes > maxPayloadBytes) throw new RangeError(`call ${call.op}: ${bytes} bytes do not fit into a frame`);
      if (this.#closed || this.#broken) throw hostAway();
      // What is late still takes the host's time: it is not given more than it can keep up with.
      if (!traffic.admits(queue)) throw new BridgeError('ThrottlingException', 'Rate exceeded');
      const id = this.#nextId;
      this.#nextId = (id + 1) >>> 0;
      const pending: Pending = {
        queue,
        places: placesOf(bytes),
        resolve: resolve as (value: unknown) => void,
        reject,
        answer: call.answer,
        deadlineAtMs: traffic.deadline(),
        waitedMs: 0,
        held: undefined,
      };
      if (traffic.enter(id, pending)) this.#send(id, call, args, bytes);
      else pending.held = { id, call, args, bytes };
    });
  }

  /** Whatever may be sent of what waits. */
  #sendWaiting(traffic: Traffic): void {
    for (let held = traffic.next(); held !== undefined; held = traffic.next())
      this.#send(held.id, held.call, held.args, held.bytes);
  }

  #send<Args extends readonly unknown[]>(
    id: number,
    { op, args: field }: TokenCall<Args, unknown>,
    args: Args,
    bytes: number,
  ): void {
    const writer = this.#writer;
    if (writer === undefined) throw new Error('there is no host to send to');
    // Its silence begins when it first has something to do.
    if (this.#using.atHost === placesOf(bytes)) this.#silence.heard();
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
    const { socketPath: path, connect: open = connect } = this.#options;
    const socket: Connection = open({
      path,
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

  #connected(socket: Connection): void {
    this.#writer = new FrameWriter((bytes, written) => socket.write(bytes, written));
    this.#using.open(windowOf(this.#callsInFlight));
    this.#making.open();
    this.#sendWaiting(this.#using);
    this.#sendWaiting(this.#making);
  }

  /** Forgets the connection; what was sent over it fails, because its effect is unknown. */
  #lose(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#writer = undefined;
    for (const pending of [...this.#using.close(), ...this.#making.close()]) pending.reject(hostAway());
  }

  #rejectAll(): void {
    for (const pending of [...this.#using.takeAll(), ...this.#making.takeAll()]) pending.reject(hostAway());
  }

  #answer(id: number, status: number, payload: Buffer): boolean {
    this.#silence.heard();
    if (status === statuses.alive) return true;
    const pending = this.#answered(this.#using, id) ?? this.#answered(this.#making, id);
    if (pending === undefined || pending === 'late') return true;
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

  #answered(traffic: Traffic, id: number): Pending | 'late' | undefined {
    const pending = traffic.answered(id);
    if (pending !== undefined) this.#sendWaiting(traffic);
    return pending;
  }

  #look(): void {
    const nowMs = this.#options.clock.monotonicMs();
    // A host that makes a key for a minute says nothing meanwhile, and works.
    if (this.#silence.tooLong(nowMs, this.#using.atHost > 0)) this.#options.onOverrun();
    for (const { reject } of [...this.#using.expired(nowMs), ...this.#making.expired(nowMs)])
      reject(because('DependencyTimeoutException', 'the token did not answer within the deadline'));
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
