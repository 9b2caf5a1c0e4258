// The token as a gateway has it: requests pipelined over a UNIX socket to the token host. A request is sent once at most, and every
// one is settled: by its answer, by its deadline, or by the host's death. Nothing here is ever replayed.
import { connect, type Socket } from 'node:net';
import type { MonotonicClock } from '../kernel/clock.js';
import { BridgeError } from '../kernel/errors.js';
import { isDaemonKey, NothingMade, type Sealed, type Token, type TokenInfo } from '../ports/token.js';
import { FrameDecoder, FrameWriter, maxPayloadBytes } from './frames.js';
import { Silence } from './silence.js';
import { isRandomLength, maxRandomBytes, requests, splitCkaIds, statuses, u32, u64, type Request } from './wire.js';

export interface TokenClientOptions {
  readonly socketPath: string;
  /** From the call to its answer, waiting for the host included. */
  readonly deadlineMs: number;
  readonly clock: MonotonicClock;
  /** The host had something to do for a whole deadline and answered nothing: it hangs. Called once for each connection. */
  readonly onOverrun: () => void;
  /** Requests that may be unsettled, or unanswered past their deadline, at a time; one more gets ThrottlingException. */
  readonly maxInFlight?: number;
  /** Of these, requests that may wait for a host to come up. */
  readonly maxHeld?: number;
}

export interface TokenClient extends Token {
  /** The host is (again) listening: connect. */
  ready(): void;
  /**
   * The host is gone: what it was given fails, what it was not waits for `ready` within its deadline. `broken`: none will follow, so
   * that nothing waits and every call fails at once.
   */
  down(broken?: boolean): void;
  close(): Promise<void>;
}

const defaultMaxInFlight = 4096;
/** One Region that is away must not fill the room of the others' requests. */
const defaultMaxHeld = 256;
/** Bytes that may wait in the socket of a host that reads slowly. */
const maxUnsentBytes = 16 * 1024 * 1024;
const readBufferBytes = 64 * 1024;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: Error) => void;
  readonly decode: (answer: Buffer) => unknown;
  readonly deadlineAtMs: number;
  /** The request, while there is no host to send it to. */
  held: { readonly op: number; readonly fields: readonly Buffer[]; readonly bytes: number } | undefined;
  /** Parts of an answer longer than a frame. */
  parts: Buffer[] | undefined;
}

export function connectToken(options: TokenClientOptions): TokenClient {
  return new SocketToken(options);
}

class SocketToken implements TokenClient {
  readonly #options: TokenClientOptions;
  readonly #maxInFlight: number;
  readonly #maxHeld: number;
  readonly #timer: NodeJS.Timeout;
  /** In the order of their calls, so in the order of their deadlines. */
  readonly #pending = new Map<number, Pending>();
  /** Requests of this connection whose answers nobody waits for any more. */
  readonly #late = new Set<number>();
  readonly #silence: Silence;
  readonly #readBuffer = Buffer.alloc(readBufferBytes);
  #held = 0;
  #writer: FrameWriter | undefined;
  #socket: Socket | undefined;
  #nextId = 0;
  #flushScheduled = false;
  #connectAgain = false;
  #broken = false;
  #closed = false;

  constructor(options: TokenClientOptions) {
    this.#options = options;
    this.#maxInFlight = options.maxInFlight ?? defaultMaxInFlight;
    this.#maxHeld = options.maxHeld ?? defaultMaxHeld;
    const lookEveryMs = Math.min(100, Math.max(5, Math.floor(options.deadlineMs / 10)));
    this.#silence = new Silence(options.deadlineMs, lookEveryMs);
    // Not in the timer itself: answers that lie in the socket, because this process was busy, are read first.
    this.#timer = setInterval(() => setImmediate(() => this.#look()), lookEveryMs).unref();
  }

  info(): Promise<TokenInfo> {
    return this.#call(requests.info, [], (answer) => JSON.parse(answer.toString()) as TokenInfo);
  }

  generateKey(ckaId: Buffer): Promise<void> {
    if (isDaemonKey(ckaId)) return Promise.reject(new RangeError('the CKA_ID is the daemon’s own'));
    return this.#call(requests.generateKey, [ckaId], nothing);
  }

  holds(ckaId: Buffer): Promise<boolean> {
    return this.#call(requests.holds, [ckaId], isYes);
  }

  scheduleDestruction(ckaIds: readonly Buffer[], dueAtMs: number): Promise<boolean> {
    if (ckaIds.some(isDaemonKey)) return Promise.reject(neverDestroyed());
    return this.#call(requests.scheduleDestruction, [u64(dueAtMs), Buffer.concat(ckaIds)], isYes);
  }

  cancelDestruction(ckaIds: readonly Buffer[]): Promise<void> {
    return this.#call(requests.cancelDestruction, [Buffer.concat(ckaIds)], nothing);
  }

  destroyScheduled(ckaIds: readonly Buffer[], dueAtMs: number): Promise<boolean> {
    if (ckaIds.some(isDaemonKey)) return Promise.reject(neverDestroyed());
    return this.#call(requests.destroyScheduled, [u64(dueAtMs), Buffer.concat(ckaIds)], isYes);
  }

  inventory(): Promise<readonly Buffer[]> {
    return this.#call(requests.inventory, [], (answer) => splitCkaIds(answer) ?? []);
  }

  encrypt(ckaId: Buffer, aad: Buffer, plaintext: Buffer): Promise<Sealed> {
    return this.#call(requests.encrypt, [ckaId, aad, plaintext], whole);
  }

  decrypt(ckaId: Buffer, aad: Buffer, sealed: Sealed): Promise<Buffer> {
    return this.#call(requests.decrypt, [ckaId, aad, sealed], whole);
  }

  reEncrypt(from: { ckaId: Buffer; aad: Buffer; sealed: Sealed }, to: { ckaId: Buffer; aad: Buffer }): Promise<Sealed> {
    return this.#call(requests.reEncrypt, [from.ckaId, from.aad, to.ckaId, to.aad, from.sealed], whole);
  }

  generateDataKey(ckaId: Buffer, aad: Buffer, bytes: number): Promise<{ plaintext: Buffer; sealed: Sealed }> {
    if (!isRandomLength(bytes)) return Promise.reject(randomLengthError());
    return this.#call(requests.generateDataKey, [ckaId, aad, u32(bytes)], (answer) => ({
      plaintext: answer.subarray(0, bytes),
      sealed: answer.subarray(bytes),
    }));
  }

  generateDataKeyWithoutPlaintext(ckaId: Buffer, aad: Buffer, bytes: number): Promise<Sealed> {
    if (!isRandomLength(bytes)) return Promise.reject(randomLengthError());
    return this.#call(requests.generateDataKeyWithoutPlaintext, [ckaId, aad, u32(bytes)], whole);
  }

  random(bytes: number): Promise<Buffer> {
    if (!isRandomLength(bytes)) return Promise.reject(randomLengthError());
    return this.#call(requests.random, [u32(bytes)], whole);
  }

  createDaemonKeys(): Promise<void> {
    return this.#call(requests.createDaemonKeys, [], nothing);
  }

  sealRow(data: Buffer): Promise<Buffer> {
    return this.#call(requests.sealRow, [data], whole);
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
    clearInterval(this.#timer);
    const socket = this.#socket;
    const gone =
      socket === undefined ? undefined : new Promise<void>((resolve) => socket.once('close', () => resolve()));
    this.#lose();
    this.#rejectAll();
    await gone;
  }

  #call<Fields extends readonly Buffer[], Result>(
    request: Request<Fields>,
    fields: Fields,
    decode: (answer: Buffer) => Result,
  ): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      const bytes = request.measure(fields);
      if (bytes > maxPayloadBytes) throw new RangeError(`${request.name}: ${bytes} bytes do not fit into a frame`);
      if (this.#closed || this.#broken) throw hostAway();
      if (this.#isFull()) throw new BridgeError('ThrottlingException', 'Rate exceeded');
      const id = this.#nextId;
      this.#nextId = (id + 1) >>> 0;
      this.#pending.set(id, {
        resolve: resolve as (value: unknown) => void,
        reject,
        decode,
        deadlineAtMs: this.#options.clock.monotonicMs() + this.#options.deadlineMs,
        held: this.#writer === undefined ? { op: request.op, fields, bytes } : undefined,
        parts: undefined,
      });
      if (this.#writer === undefined) this.#held += 1;
      else this.#send(this.#writer, id, request.op, fields, bytes);
    });
  }

  /** Requests that the host has and has not answered, wanted or not. */
  get #unanswered(): number {
    return this.#pending.size - this.#held + this.#late.size;
  }

  #isFull(): boolean {
    if (this.#writer === undefined && this.#held >= this.#maxHeld) return true;
    // What is late still takes the host's time: it is not given more than it can keep up with.
    if (this.#pending.size + this.#late.size >= this.#maxInFlight) return true;
    return (this.#socket?.writableLength ?? 0) > maxUnsentBytes;
  }

  #send(writer: FrameWriter, id: number, op: number, fields: readonly Buffer[], bytes: number): void {
    // Its silence begins when it first has something to do.
    if (this.#unanswered === 1) this.#silence.broken();
    const room = writer.reserve(bytes);
    let at = 0;
    for (const field of fields) at += field.copy(room, at);
    writer.commit(id, op, bytes);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#writer?.flush();
    });
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
    for (const [id, pending] of this.#pending) {
      if (pending.held === undefined) continue;
      const { op, fields, bytes } = pending.held;
      pending.held = undefined;
      this.#held -= 1;
      this.#send(writer, id, op, fields, bytes);
    }
  }

  /** Forgets the connection; what was sent over it fails, because its effect is unknown. */
  #lose(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#writer = undefined;
    this.#late.clear();
    for (const [id, pending] of this.#pending) {
      if (pending.held !== undefined) continue;
      this.#pending.delete(id);
      pending.reject(hostAway());
    }
  }

  #rejectAll(): void {
    for (const pending of this.#pending.values()) pending.reject(hostAway());
    this.#pending.clear();
    this.#held = 0;
  }

  #answer(id: number, status: number, payload: Buffer): boolean {
    this.#silence.broken();
    if (status === statuses.alive) return true;
    const pending = this.#pending.get(id);
    if (pending === undefined) {
      if (status !== statuses.partial) this.#late.delete(id);
      return true;
    }
    if (status === statuses.partial) {
      (pending.parts ??= []).push(Buffer.from(payload));
      return true;
    }
    this.#pending.delete(id);
    if (status !== statuses.ok) {
      pending.reject(errorOf(status));
      return true;
    }
    const answer = Buffer.from(payload);
    pending.resolve(pending.decode(pending.parts === undefined ? answer : Buffer.concat([...pending.parts, answer])));
    return true;
  }

  /** Fails what is past its deadline. That says nothing of the host, which may be busy with others; silence does. */
  #look(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#silence.tooLong(nowMs, this.#unanswered > 0)) this.#options.onOverrun();
    for (const [id, pending] of this.#pending) {
      if (pending.deadlineAtMs > nowMs) return;
      this.#pending.delete(id);
      if (pending.held === undefined) this.#late.add(id);
      else this.#held -= 1;
      pending.reject(new BridgeError('DependencyTimeoutException'));
    }
  }
}

const whole = (answer: Buffer): Buffer => answer;
const nothing = (): void => undefined;
const isYes = (answer: Buffer): boolean => answer[0] === 1;

const hostAway = (): BridgeError => new BridgeError('KMSInternalException');

function errorOf(status: number): BridgeError {
  if (status === statuses.keyUnavailable) return new BridgeError('KeyUnavailableException');
  if (status === statuses.invalidCiphertext) return new BridgeError('InvalidCiphertextException');
  if (status === statuses.nothingMade) return new NothingMade();
  if (status === statuses.daemonKeysExist) {
    return new BridgeError('KMSInternalException', 'The token already holds the daemon’s own keys.');
  }
  return new BridgeError('KMSInternalException');
}

const neverDestroyed = (): RangeError => new RangeError('the daemon’s own keys are not destroyed');

const randomLengthError = (): RangeError => new RangeError(`1 to ${maxRandomBytes} bytes`);
