// The gateways: lane 0 first, because it alone makes the store and the root credentials; the others when it is ready. A gateway that
// starts again gets the same ports and is told which tokens are up.
import type { ChildProcess } from 'node:child_process';
import type { FromGateway, GatewayConfig, RootCredentials, ToGateway } from '../config/processes.js';
import { FatalError } from './fatal.js';
import type { Log } from './log.js';
import { type Supervised, supervise } from './supervised.js';

export interface GatewaysOptions {
  readonly count: number;
  /** The configuration of all lanes; lane 0 alone serves the admin port. */
  readonly config: Omit<GatewayConfig, 'lane' | 'gateways'>;
  readonly runFolder: string;
  readonly fork: () => ChildProcess;
  readonly log: Log;
  readonly liveRegions: () => readonly string[];
  /** A gateway asks for a token; `reply` reaches it alone. */
  readonly onTokenWanted: (region: string, reply: (message: ToGateway) => void) => void;
  readonly onTokenOverrun: (region: string) => void;
  /** Once, when every lane is ready for the first time. */
  readonly onAllReady: (roots: readonly RootCredentials[]) => void;
  readonly onFatal: (fatal: FatalError) => void;
}

export interface Gateways {
  /** Starts lane 0's process, which loads its program but waits for its configuration. */
  start(): void;
  /** The default Region's token is up: lane 0 may be configured. Idempotent. */
  open(): void;
  broadcast(message: ToGateway): void;
  killAll(): void;
  stop(): Promise<void>;
}

interface Lane {
  readonly gateway: Supervised<ToGateway>;
  listening: boolean;
}

export function createGateways(options: GatewaysOptions): Gateways {
  const lanes: Lane[] = [];
  const everReady = new Set<number>();
  let roots: readonly RootCredentials[] = [];
  let opened = false;
  let stopping = false;

  const configure = (number: number): void => {
    const lane = lanes[number];
    if (lane === undefined || !lane.listening || !opened) return;
    const adminPort = number === 0 ? options.config.adminPort : undefined;
    const config = { ...options.config, lane: number, gateways: options.count, adminPort };
    lane.gateway.send({ type: 'configure', config });
    for (const region of options.liveRegions()) lane.gateway.send({ type: 'token-ready', region });
  };

  const ready = (number: number, reported: readonly RootCredentials[] | undefined): void => {
    lanes[number]?.gateway.markReady();
    roots = reported ?? roots;
    if (everReady.has(number)) return;
    everReady.add(number);
    if (number === 0) for (let next = 1; next < options.count; next += 1) addLane(next);
    if (everReady.size === options.count) options.onAllReady(roots);
  };

  const heard = (number: number, message: FromGateway): void => {
    const lane = lanes[number];
    if (lane === undefined) return;
    switch (message.type) {
      case 'listening':
        lane.listening = true;
        configure(number);
        break;
      case 'ready':
        ready(number, message.rootCredentials);
        break;
      case 'token-wanted':
        options.onTokenWanted(message.region, (reply) => lane.gateway.send(reply));
        break;
      case 'token-overrun':
        options.onTokenOverrun(message.region);
        break;
      case 'fatal':
        options.onFatal(new FatalError(message.code, message.message));
        break;
    }
  };

  function addLane(number: number): void {
    if (stopping) return;
    const lane: Lane = {
      listening: false,
      gateway: supervise<ToGateway, FromGateway>({
        name: `gateway ${number}`,
        runFolder: options.runFolder,
        log: options.log,
        fork: options.fork,
        onStart: () => undefined,
        onMessage: (message) => heard(number, message),
        onExit: () => {
          lane.listening = false;
        },
      }),
    };
    lanes[number] = lane;
    lane.gateway.start();
  }

  return {
    start: () => addLane(0),
    open() {
      if (opened) return;
      opened = true;
      configure(0);
    },
    broadcast(message) {
      // One that does not listen yet is told the whole state when it does.
      for (const { gateway, listening } of lanes) if (listening && opened) gateway.send(message);
    },
    killAll() {
      for (const { gateway } of lanes) gateway.kill();
    },
    async stop() {
      stopping = true;
      await Promise.all(
        lanes.map(({ gateway, listening }) => {
          const gone = gateway.stop({ type: 'stop' });
          // One that does not listen yet would not hear it, and has nothing to finish.
          if (!listening) gateway.kill();
          return gone;
        }),
      );
    },
  };
}
