// The gateways: lane 0 first, because it alone makes the store and the root credentials; the others when it is ready. A gateway that
// starts again gets the same sockets and is told which tokens are up, and which never will be.
import type { ChildProcess } from 'node:child_process';
import { type FatalCode, type FromGateway, type GatewayConfig, received, type ToGateway } from '../config/processes.js';
import type { KeyStoreRef } from '../model/key-store.js';
import type { Credential } from '../model/principal.js';
import type { MonotonicClock } from '../kernel/clock.js';
import type { Random } from '../kernel/random.js';
import type { Timers } from '../kernel/timers.js';
import { FatalError } from './fatal.js';
import type { HeldSocket } from './held-socket.js';
import type { Log } from './log.js';
import { Supervised } from './supervised.js';

export interface GatewaysOptions {
  readonly config: Omit<GatewayConfig, 'lane'>;
  /** Of all lanes, by their listeners' names. */
  readonly sockets: ReadonlyMap<string, HeldSocket>;
  readonly runFolder: string;
  readonly fork: () => ChildProcess;
  readonly log: Log;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  readonly random: Random;
  /** What a gateway that starts is told of the tokens. */
  readonly tokenNews: () => readonly ToGateway[];
  /** A gateway asks for a token; `reply` reaches it alone. */
  readonly onTokenWanted: (keyStore: KeyStoreRef, reply: (message: ToGateway) => void) => void;
  readonly onTokenOverrun: (keyStore: KeyStoreRef) => void;
  /** Once, when every lane is ready for the first time. */
  readonly onAllReady: (roots: readonly Credential[]) => void;
  readonly onFatal: (fatal: FatalError) => void;
}

type Gateway = Supervised<ToGateway, FromGateway>;

/** What is no reason to end a daemon that was ready: the disk may have room again, an address or a file may be put right. */
const passing: ReadonlySet<FatalCode> = new Set(['home-unwritable', 'port-in-use', 'tls-files']);

export class Gateways {
  readonly #options: GatewaysOptions;
  readonly #lanes: Gateway[] = [];
  readonly #everReady = new Set<number>();
  #roots: readonly Credential[] = [];
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
    // One that is not configured yet is told the whole state when it is.
    if (this.#opened) for (const gateway of this.#lanes) gateway.send(message);
  }

  killAll(): void {
    for (const gateway of this.#lanes) gateway.kill();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#lanes.map((gateway) => gateway.stop({ type: 'stop' })));
  }

  #addLane(number: number): void {
    if (this.#stopping) return;
    const { runFolder, log, clock, timers, random, fork } = this.#options;
    const gateway: Gateway = new Supervised<ToGateway, FromGateway>({
      name: `gateway ${number}`,
      runFolder,
      log,
      clock,
      timers,
      random,
      fork,
      onStart: () => this.#configure(number),
      onMessage: (message) => this.#heard(number, gateway, message),
      onExit: () => undefined,
    });
    this.#lanes[number] = gateway;
    gateway.start();
  }

  #heard(number: number, gateway: Gateway, message: FromGateway): void {
    switch (message.type) {
      case 'ready':
        this.#ready(number, gateway, message.rootCredentials?.map(received));
        break;
      case 'token-wanted':
        this.#options.onTokenWanted(message, (reply) => gateway.send(reply));
        break;
      case 'token-overrun':
        this.#options.onTokenOverrun(message);
        break;
      case 'fatal':
        if (passing.has(message.code) && this.#everReady.has(number))
          this.#options.log.error(`gateway ${number}: ${message.message}`);
        else this.#options.onFatal(new FatalError(message.code, message.message));
        break;
    }
  }

  #configure(number: number): void {
    const gateway = this.#lanes[number];
    if (gateway === undefined || !this.#opened) return;
    const { config, sockets, tokenNews } = this.#options;
    for (const { name, firstGatewayOnly } of config.listeners) {
      const socket = sockets.get(name);
      if (socket !== undefined && (number === 0 || !firstGatewayOnly))
        gateway.send({ type: 'socket', listener: name }, socket.handle);
    }
    gateway.send({ type: 'configure', config: { ...config, lane: number } });
    for (const message of tokenNews()) gateway.send(message);
  }

  #ready(number: number, gateway: Gateway, reported: readonly Credential[] | undefined): void {
    gateway.markReady();
    this.#roots = reported ?? this.#roots;
    if (this.#stopping || this.#everReady.has(number)) return;
    this.#everReady.add(number);
    const count = this.#options.config.gateways;
    if (number === 0) for (let next = 1; next < count; next += 1) this.#addLane(next);
    if (this.#everReady.size === count) this.#options.onAllReady(this.#roots);
  }
}
