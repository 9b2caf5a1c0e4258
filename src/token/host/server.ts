// The host's socket: frames in, one answer each out, in order. Nothing a gateway sends ends this process, and no queue grows: a chunk
// is performed before the next one is read, and a gateway that does not read its answers is not read from.
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { FrameDecoder, FrameWriter } from '../frames.js';
import { statuses } from '../wire.js';

export interface ServerOptions {
  readonly socketPath: string;
  /** False: no request. Throws when the token is lost; then it has answered. */
  readonly perform: (id: number, op: number, payload: Buffer, out: FrameWriter) => boolean;
  /** Called once, when `perform` threw: every request from then on has been or will be answered with `internal`. */
  readonly onLost: () => void;
}

const maxConnections = 64;
/** Answers that may wait for the others of a chunk: a gateway works on the first ones while the token makes the last. */
const answersPerWrite = 32;
/** How long one gateway's chunk may keep this process from saying a word to any of them: they take long silence for a hang. */
const silenceMs = 50;

export class TokenServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #writers = new Map<Socket, FrameWriter>();
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
      this.#server.listen(this.#options.socketPath, resolve);
    });
  }

  /** Resolves when every answer given so far has left, or `graceMs` later. */
  close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#writers.keys()) socket.end(() => socket.destroy());
    return Promise.race([closed, new Promise<void>((resolve) => setTimeout(resolve, graceMs))]);
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
      const sound = this.#perform(id, op, payload, writer);
      if (performance.now() - this.#spokeAtMs > silenceMs) this.#speak(writer);
      return sound;
    });
    socket.on('data', (chunk) => {
      this.#spokeAtMs = performance.now();
      const sound = decoder.push(chunk);
      chunk.fill(0);
      writer.flush();
      if (!sound) socket.destroy();
    });
    socket.on('drain', () => socket.resume());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#writers.delete(socket));
  }

  /** Sends what has been answered to the gateway in turn, and to the others that their turn will come. */
  #speak(inTurn: FrameWriter): void {
    for (const [socket, writer] of this.#writers) {
      if (socket.writableNeedDrain) continue;
      if (writer !== inTurn) writer.commit(0, statuses.alive, 0);
      writer.flush();
    }
    this.#spokeAtMs = performance.now();
  }

  #perform(id: number, op: number, payload: Buffer, writer: FrameWriter): boolean {
    if (this.#lost) {
      writer.commit(id, statuses.internal, 0);
      return true;
    }
    try {
      return this.#options.perform(id, op, payload, writer);
    } catch {
      this.#lost = true;
      // After this chunk, so that its answers have left.
      setImmediate(this.#options.onLost);
      return true;
    }
  }
}
