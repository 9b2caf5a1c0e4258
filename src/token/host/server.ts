// The host's socket: frames in, one answer each out, in order but for what other threads perform. Nothing a gateway sends ends this process, and no
// queue grows: a chunk is performed, or handed on, before the next one is read, and a gateway that does not read its answers is not read from.
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { MonotonicClock } from '../../kernel/clock.js';
import type { Timers } from '../../kernel/timers.js';
import { FrameDecoder, FrameWriter } from '../frames.js';
import { statuses } from '../wire.js';
import { anyName, firstUsesPerTurn, nextTurn, NotReadYet } from './object-index.js';
import type { Answers } from './performer.js';
import type { Routed } from './router.js';

export interface ServerOptions {
  readonly socketPath: string;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  /** `from`: whose request it is. What is taken gets its answer by `answer`. Throws when the token is lost; then it has answered. */
  readonly perform: (id: number, op: number, payload: Buffer, out: Answers, from: object) => Routed;
  /** A gateway is gone: what was taken of it needs no answer. */
  readonly onLeave: (from: object) => void;
  /** Reads a part of the index of keys: what requests may have waited for, and nothing when all is read. Throws when the token is lost. */
  readonly readIndex: () => readonly string[];
  /** Called when all that was read is performed, before anything else is read. */
  readonly endTurn: () => void;
  /** Called once, when `perform` threw: every request from then on has been or will be answered with `internal`. */
  readonly onLost: (why: unknown) => void;
}

const maxConnections = 64;
/** Answers that may wait for the others of a chunk: a gateway works on the first ones while the token makes the last. */
const answersPerWrite = 32;
/** How long one gateway's chunk may keep this process from saying a word to any of them: they take long silence for a hang. */
const silenceMs = 50;

/** Requests that may wait for the index; further ones are refused. */
const maxWaiting = 4096;

interface Waiting {
  readonly id: number;
  readonly op: number;
  readonly payload: Buffer;
  readonly socket: Socket;
}

export class TokenServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #writers = new Map<Socket, FrameWriter>();
  /** Requests for keys that may be among those still to be read. */
  readonly #waiting = new Set<{ readonly awaited: string; readonly request: Waiting }>();
  #reading = false;
  #flushing = false;
  #isPaused = false;
  #spokeAtMs = 0;
  #lost = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#serve(socket));
    this.#server.maxConnections = maxConnections;
  }

  /** Resolves when gateways may connect. A socket left by a host that was killed is replaced. */
  listen(): Promise<void> {
    rmSync(this.#options.socketPath, { force: true });
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.socketPath, () => {
        this.#readOn();
        resolve();
      });
    });
  }

  /** Resolves when every answer given so far has left, or `graceMs` later. */
  close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#writers.keys()) socket.end(() => socket.destroy());
    return Promise.race([closed, this.#options.timers.sleep(graceMs)]);
  }

  #serve(socket: Socket): void {
    const writer = new FrameWriter((bytes, written) => {
      if (!socket.write(bytes, written)) socket.pause();
    });
    this.#writers.set(socket, writer);
    let unflushed = 0;
    const decoder = new FrameDecoder((id, op, payload) => {
      if (++unflushed >= answersPerWrite) {
        unflushed = 0;
        writer.flush();
      }
      const sound = this.#perform(id, op, payload, socket);
      if (this.#options.clock.monotonicMs() - this.#spokeAtMs > silenceMs) this.#speak(writer);
      return sound;
    });
    socket.on('data', (chunk) => {
      this.#spokeAtMs = this.#options.clock.monotonicMs();
      const sound = decoder.push(chunk);
      this.#options.endTurn();
      chunk.fill(0);
      writer.flush();
      if (!sound) socket.destroy();
    });
    socket.on('drain', () => {
      if (!this.#isPaused) socket.resume();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#writers.delete(socket);
      this.#options.onLeave(socket);
    });
  }

  /** To what was taken. No status: the request makes no sense. Leaves with the others of this turn. */
  answer(from: object, id: number, status: number | undefined, payload: Buffer): void {
    const socket = from as Socket;
    const writer = this.#writers.get(socket);
    if (writer === undefined) return;
    if (status === undefined) {
      socket.destroy();
      return;
    }
    writer.reserve(payload.length).set(payload);
    writer.commit(id, status, payload.length);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#options.timers.soon(() => {
      this.#flushing = false;
      for (const each of this.#writers.values()) each.flush();
    });
  }

  /** Nothing more is read. */
  pause(): void {
    this.#isPaused = true;
    this.#server.close();
    for (const socket of this.#writers.keys()) socket.pause();
  }

  /** Sends what has been answered to the gateway in turn, and to the others that their turn will come. */
  #speak(inTurn: FrameWriter | undefined): void {
    for (const [socket, writer] of this.#writers) {
      if (socket.writableNeedDrain) continue;
      if (writer !== inTurn) writer.commit(0, statuses.alive, 0);
      writer.flush();
    }
    this.#spokeAtMs = this.#options.clock.monotonicMs();
  }

  #perform(id: number, op: number, payload: Buffer, socket: Socket): boolean {
    const writer = this.#writers.get(socket);
    if (writer === undefined) return false;
    if (this.#lost) {
      writer.commit(id, statuses.internal, 0);
      return true;
    }
    try {
      const outcome = this.#options.perform(id, op, payload, writer, socket);
      if (!(outcome instanceof NotReadYet)) return outcome !== 'malformed';
      if (this.#waiting.size < maxWaiting)
        this.#wait(outcome.awaited, { id, op, payload: Buffer.from(payload), socket });
      else writer.commit(id, statuses.internal, 0);
      return true;
    } catch (error) {
      this.#lose(error);
      return true;
    }
  }

  /** A request that is performed again later is answered out of the order of its connection: gateways go by ids. */
  #wait(awaited: string, request: Waiting): void {
    this.#waiting.add({ awaited, request });
    this.#readOn();
  }

  /** The next slice of the index comes after the requests that have arrived by then. */
  #readOn(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#options.timers.soon(() => {
      this.#reading = false;
      this.#readSlice();
    });
  }

  #readSlice(): void {
    let names: readonly string[];
    try {
      names = this.#lost ? [anyName] : this.#options.readIndex();
    } catch (error) {
      this.#lose(error);
      names = [anyName];
    }
    const read = new Set(names);
    const all = names.length === 0 || read.has(anyName);
    let turns = firstUsesPerTurn;
    for (const entry of [...this.#waiting]) {
      const hasCome = entry.awaited === nextTurn ? turns-- > 0 : all || read.has(entry.awaited);
      if (!hasCome && !this.#lost) continue;
      this.#waiting.delete(entry);
      const { id, op, payload, socket } = entry.request;
      if (!this.#perform(id, op, payload, socket)) socket.destroy();
      payload.fill(0);
    }
    this.#options.endTurn();
    if (this.#waiting.size > 0 && this.#options.clock.monotonicMs() - this.#spokeAtMs > silenceMs)
      this.#speak(undefined);
    else for (const writer of this.#writers.values()) writer.flush();
    if (this.#waiting.size > 0 || !all) this.#readOn();
  }

  /** Every request from now on is answered with `internal`, and `onLost` is called. */
  lose(why: unknown): void {
    this.#lose(why);
  }

  #lose(why: unknown): void {
    if (this.#lost) return;
    this.#lost = true;
    // After this chunk, so that its answers have left.
    this.#options.timers.soon(() => this.#options.onLost(why));
  }
}
