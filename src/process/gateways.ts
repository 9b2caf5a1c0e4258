// The gateways: lane 0 first, because it alone makes the store and the root credentials; the others when it is ready. A gateway that
// starts again gets the same ports and is told which tokens are up, and which never will be.
import type { ChildProcess } from 'node:child_process';
import type { FromGateway, GatewayConfig, RootCredentials, ToGateway } from '../config/processes.js';
import { FatalError } from './fatal.js';
import type { Log } from './log.js';
import { Supervised } from './supervised.js';

export interface GatewaysOptions {
  readonly count: number;
  /** The configuration of all lanes; lane 0 alone serves the admin port. */
  readonly config: Omit<GatewayConfig, 'lane' | 'gateways'>;
  readonly runFolder: string;
  readonly fork: () => ChildProcess;
  readonly log: Log;
  /** What a gateway that starts is told of the tokens. */
  readonly tokenNews: () => readonly ToGateway[];
  /** A gateway asks for a token; `reply` reaches it alone. */
  readonly onTokenWanted: (region: string, reply: (message: ToGateway) => void) => void;
  readonly onTokenOverrun: (region: string) => void;
  /** Once, when every lane is ready for the first time. */
  readonly onAllReady: (roots: readonly RootCredentials[]) => void;
  readonly onFatal: (fatal: FatalError) => void;
}

interface Lane {
  readonly gateway: Supervised<ToGateway, FromGateway>;
  listening: boolean;
}

export class Gateways {
  readonly #options: GatewaysOptions;
  readonly #lanes: Lane[] = [];
  readonly #everReady = new Set<number>();
  #roots: readonly RootCredentials[] = [];
  #opened = false;
  #stopping = false;

  constructor(options: GatewaysOptions) {
    this.#options = options;
  }

  /** Starts lane 0's process, which loads its program but waits for its configuration. */
  start(): void {
    this.#addLane(0);
  }

  /** The default Region's token is up: lane 0 may be configured. Idempotent. */
  open(): void {
    if (this.#opened) return;
    this.#opened = true;
    this.#configure(0);
  }

  broadcast(message: ToGateway): void {
    // One that does not listen yet is told the whole state when it does.
    for (const { gateway, listening } of this.#lanes) if (listening && this.#opened) gateway.send(message);
  }

  killAll(): void {
    for (const { gateway } of this.#lanes) gateway.kill();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(
      this.#lanes.map(({ gateway, listening }) => {
        const gone = gateway.stop({ type: 'stop' });
        // One that does not listen yet would not hear it, and has nothing to finish.
        if (!listening) gateway.kill();
        return gone;
      }),
    );
  }

  #addLane(number: number): void {
    if (this.#stopping) return;
    const { runFolder, log, fork } = this.#options;
    const lane: Lane = {
      listening: false,
      gateway: new Supervised<ToGateway, FromGateway>({
        name: `gateway ${number}`,
        runFolder,
        log,
        fork,
        onStart: () => undefined,
        onMessage: (message) => this.#heard(number, lane, message),
        onExit: () => {
          lane.listening = false;
        },
      }),
    };
    this.#lanes[number] = lane;
    lane.gateway.start();
  }

  #heard(number: number, lane: Lane, message: FromGateway): void {
    switch (message.type) {
      case 'listening':
        lane.listening = true;
        this.#configure(number);
        break;
      case 'ready':
        this.#ready(number, lane, message.rootCredentials);
        break;
      case 'token-wanted':
        this.#options.onTokenWanted(message.region, (reply) => lane.gateway.send(reply));
        break;
      case 'token-overrun':
        this.#options.onTokenOverrun(message.region);
        break;
      case 'fatal':
        // A disk that filled up under a running daemon may have room again.
        if (message.code === 'home-unwritable' && this.#everReady.has(number))
          this.#options.log.error(`gateway ${number}: ${message.message}`);
        else this.#options.onFatal(new FatalError(message.code, message.message));
        break;
    }
  }

  #configure(number: number): void {
    const lane = this.#lanes[number];
    if (lane === undefined || !lane.listening || !this.#opened) return;
    const { config, count, tokenNews } = this.#options;
    const adminPort = number === 0 ? config.adminPort : undefined;
    lane.gateway.send({ type: 'configure', config: { ...config, lane: number, gateways: count, adminPort } });
    for (const message of tokenNews()) lane.gateway.send(message);
  }

  #ready(number: number, lane: Lane, reported: readonly RootCredentials[] | undefined): void {
    lane.gateway.markReady();
    this.#roots = reported ?? this.#roots;
    if (this.#everReady.has(number)) return;
    this.#everReady.add(number);
    const { count } = this.#options;
    if (number === 0) for (let next = 1; next < count; next += 1) this.#addLane(next);
    if (this.#everReady.size === count) this.#options.onAllReady(this.#roots);
  }
}
