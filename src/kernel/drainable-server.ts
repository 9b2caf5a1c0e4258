// An HTTP server that ends in good order: a call that was taken in is answered, and no connection without one keeps the process alive.
import { type IncomingMessage, Server, type ServerOptions, type ServerResponse } from 'node:http';
import type { Server as Door, Socket } from 'node:net';
import type { Timers } from './timers.js';

/** How long clients may take to fetch the last answers of a drain. */
const lingerMs = 1_000;

export class DrainableServer extends Server {
  /** Each connection's answers that are still to come, in their order: an entry for a connection, nothing new for a call. */
  readonly #answers = new Map<Socket, ServerResponse[]>();
  /** Connections whose last answer will be written on the bare socket, by what took the call in; it closes them too. */
  readonly #bare = new Set<Socket>();
  readonly #doors: Door[] = [];
  readonly #timers: Timers;
  /** All of them, those whose client is gone too. */
  #calls = 0;
  #draining = false;
  #answered: () => void = () => undefined;

  constructor(options: ServerOptions, timers: Timers) {
    super(options);
    this.#timers = timers;
    this.on('connection', (socket) => {
      this.#answers.set(socket, []);
      socket.once('close', () => this.#answers.delete(socket));
    });
  }

  /** Serves what another listener accepts, as `event` tells of it. It is closed with this server. */
  admit(door: Door, event: 'connection' | 'secureConnection'): void {
    this.#doors.push(door);
    door.on(event, (socket: Socket) => this.emit('connection', socket));
    // Node watches over the time limits of requests from this event on, whatever listens.
    door.once('listening', () => this.emit('listening'));
  }

  get calls(): number {
    return this.#calls;
  }

  /** Takes a call in, whose `end` must follow. False during a drain: it must stay unanswered, since its connection is about to close. */
  begin(request: IncomingMessage, response?: ServerResponse): boolean {
    if (this.#draining) return false;
    this.#calls += 1;
    if (response === undefined) this.#bare.add(request.socket);
    else this.#answers.get(request.socket)?.push(response);
    return true;
  }

  /** The call's answer was handed to its socket, or nobody is there to hear it. */
  end(request: IncomingMessage, response?: ServerResponse): void {
    this.#calls -= 1;
    if (response === undefined) this.#bare.delete(request.socket);
    const answers = this.#answers.get(request.socket);
    const at = response === undefined ? undefined : answers?.indexOf(response);
    if (at !== undefined && at >= 0) answers?.splice(at, 1);
    if (this.#draining && this.#calls === 0) this.#answered();
  }

  /** The answer that will be the last on this connection as far as is known. */
  lastAnswerOn(socket: Socket): ServerResponse | undefined {
    return this.#answers.get(socket)?.at(-1);
  }

  /**
   * Takes nothing more in and closes every connection that waits for no answer, however much of a request has come over it. Resolves when
   * all calls are answered and all connections are closed.
   */
  async drain(): Promise<void> {
    this.#draining = true;
    const closed = Promise.all(
      [this, ...this.#doors].map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
    for (const socket of this.#answers.keys()) this.#closeAfterAnswers(socket);
    if (this.#calls > 0) await new Promise<void>((resolve) => (this.#answered = resolve));
    const fetched = this.#timers.after(lingerMs, () => this.closeAllConnections());
    await closed;
    fetched();
  }

  #closeAfterAnswers(socket: Socket): void {
    const last = this.lastAnswerOn(socket);
    if (last === undefined && this.#bare.has(socket)) return;
    if (last === undefined) socket.destroySoon();
    // Node says so in the answer, and closes when it has left.
    else last.shouldKeepAlive = false;
  }
}
