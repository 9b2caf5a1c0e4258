// The token as a gateway has it: requests pipelined over a UNIX socket to the token host. A request is sent once at most, and every
// one is settled: by its answer, by its deadline, or by the host's death. Nothing here is ever replayed.
import { connect, type Socket } from 'node:net';
import type { Clock } from '../kernel/clock.js';
import { BridgeError } from '../kernel/errors.js';
import { daemonKeys, type Sealed, type Token, type TokenInfo } from '../ports/token.js';
import { FrameDecoder, FrameWriter, maxPayloadBytes } from './frames.js';
import { ckaIdBytes, maxRandomBytes, requests, statuses, u32, type Request } from './wire.js';

export interface TokenClientOptions {
  readonly socketPath: string;
  /** From the call to its answer, waiting for the host included. */
  readonly deadlineMs: number;
  readonly clock: Clock;
  /** A request the host had received passed its deadline: it hangs. Called once for each connection. */
  readonly onOverrun: () => void;
  /** Requests that may be unsettled at a time; one more gets ThrottlingException. */
  readonly maxInFlight?: number;
}

export interface TokenClient extends Token {
  /** The host is (again) listening: connect. */
  ready(): void;
  /** The host is gone: what it was given fails, what it was not waits for `ready` within its deadline. */
  down(): void;
  close(): Promise<void>;
}

const defaultMaxInFlight = 4096;
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
  readonly #timer: NodeJS.Timeout;
  /** In the order of their calls, so in the order of their deadlines. */
  readonly #pending = new Map<number, Pending>();
  readonly #readBuffer = Buffer.alloc(readBufferBytes);
  #writer: FrameWriter | undefined;
  #socket: Socket | undefined;
  #nextId = 0;
  #flushScheduled = false;
  #overrunReported = false;
  #connectAgain = false;
  #closed = false;

  constructor(options: TokenClientOptions) {
    this.#options = options;
    this.#maxInFlight = options.maxInFlight ?? defaultMaxInFlight;
    const scanMs = Math.min(100, Math.max(5, Math.floor(options.deadlineMs / 10)));
    this.#timer = setInterval(() => this.#expire(), scanMs).unref();
  }

  info(): Promise<TokenInfo> {
    return this.#call(requests.info, [], (answer) => JSON.parse(answer.toString()) as TokenInfo);
  }

  generateKey(ckaId: Buffer): Promise<void> {
    if (isDaemonKey(ckaId)) return Promise.reject(new RangeError('the CKA_ID is the daemon’s own'));
    return this.#call(requests.generateKey, [ckaId], nothing);
  }

  destroyKey(ckaId: Buffer): Promise<boolean> {
    if (isDaemonKey(ckaId)) return Promise.reject(new RangeError('the daemon’s own keys are not destroyed'));
    return this.#call(requests.destroyKey, [ckaId], (answer) => answer[0] === 1);
  }

  inventory(): Promise<readonly Buffer[]> {
    return this.#call(requests.inventory, [], (answer) => {
      const ids: Buffer[] = [];
      for (let at = 0; at < answer.length; at += ckaIdBytes) ids.push(answer.subarray(at, at + ckaIdBytes));
      return ids;
    });
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
    // The old host's end may not have been noticed yet: its socket still has to fail what it was given.
    if (this.#socket === undefined) this.#connect();
    else this.#connectAgain = true;
  }

  down(): void {
    this.#connectAgain = false;
    this.#lose();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    const socket = this.#socket;
    const gone =
      socket === undefined ? undefined : new Promise<void>((resolve) => socket.once('close', () => resolve()));
    this.#lose();
    for (const pending of this.#pending.values()) pending.reject(hostAway());
    this.#pending.clear();
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
      if (this.#closed) throw hostAway();
      if (this.#pending.size >= this.#maxInFlight || (this.#socket?.writableLength ?? 0) > maxUnsentBytes) {
        throw new BridgeError('ThrottlingException', 'Rate exceeded');
      }
      const id = this.#nextId;
      this.#nextId = (id + 1) >>> 0;
      this.#pending.set(id, {
        resolve: resolve as (value: unknown) => void,
        reject,
        decode,
        deadlineAtMs: this.#options.clock.now() + this.#options.deadlineMs,
        held: this.#writer === undefined ? { op: request.op, fields, bytes } : undefined,
        parts: undefined,
      });
      if (this.#writer !== undefined) this.#send(this.#writer, id, request.op, fields, bytes);
    });
  }

  #send(writer: FrameWriter, id: number, op: number, fields: readonly Buffer[], bytes: number): void {
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
    this.#overrunReported = false;
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
      this.#send(writer, id, op, fields, bytes);
    }
  }

  /** Forgets the connection; what was sent over it fails, because its effect is unknown. */
  #lose(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#writer = undefined;
    for (const [id, pending] of this.#pending) {
      if (pending.held !== undefined) continue;
      this.#pending.delete(id);
      pending.reject(hostAway());
    }
  }

  #answer(id: number, status: number, payload: Buffer): boolean {
    const pending = this.#pending.get(id);
    if (pending === undefined) return true; // answered after its deadline
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

  #expire(): void {
    const now = this.#options.clock.now();
    for (const [id, pending] of this.#pending) {
      if (pending.deadlineAtMs > now) return;
      this.#pending.delete(id);
      pending.reject(new BridgeError('DependencyTimeoutException'));
      if (pending.held === undefined && !this.#overrunReported) {
        this.#overrunReported = true;
        this.#options.onOverrun();
      }
    }
  }
}

const whole = (answer: Buffer): Buffer => answer;
const nothing = (): void => undefined;

const hostAway = (): BridgeError => new BridgeError('KMSInternalException');

function errorOf(status: number): BridgeError {
  if (status === statuses.keyUnavailable) return new BridgeError('KeyUnavailableException');
  if (status === statuses.invalidCiphertext) return new BridgeError('InvalidCiphertextException');
  if (status === statuses.daemonKeysExist) {
    return new BridgeError('KMSInternalException', 'The token already holds the daemon’s own keys.');
  }
  return new BridgeError('KMSInternalException');
}

const isDaemonKey = (ckaId: Buffer): boolean => Object.values(daemonKeys).some((own) => own.equals(ckaId));

const isRandomLength = (bytes: number): boolean => Number.isInteger(bytes) && bytes >= 1 && bytes <= maxRandomBytes;

const randomLengthError = (): RangeError => new RangeError(`1 to ${maxRandomBytes} bytes`);
