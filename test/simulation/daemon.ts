// The daemon of the simulated world: who starts its processes again, and what they tell each other through it.
import type { FromGateway, GatewayConfig } from '../../src/config/processes.js';
import { AuditDamagedError } from '../../src/audit/recover.js';
import { defaultKeyStore } from '../../src/model/key-store.js';
import { FatalError } from '../../src/process/fatal.js';
import { Gateway, region } from './gateway.js';
import { TokenHost } from './host.js';
import { Killed, Process } from './process.js';
import { connectFrom, inOrder } from './wire.js';
import type { World } from './world.js';

const socketPath = 'token.sock';
const keyStore = defaultKeyStore(region);

export class Daemon {
  readonly gateways: (Gateway | undefined)[] = [];
  host: TokenHost | undefined;
  /** Why it cannot go on: nothing that happens in this world is a reason. */
  fatal: string | undefined;
  /** What its gateways wrote into their operational logs. */
  readonly said: string[] = [];
  readonly #world: World;
  #supervisor: Process | undefined;
  #everServed = false;
  readonly #running = new Set<Process>();
  /** What each gateway is told arrives in order. */
  readonly #channels = new WeakMap<Gateway, (arrive: () => void) => void>();

  constructor(world: World) {
    this.#world = world;
  }

  get isUp(): boolean {
    return this.#supervisor !== undefined;
  }

  get isReady(): boolean {
    const { gateways } = this.#world.settings;
    return this.host !== undefined && this.ready().length === gateways;
  }

  ready(): readonly Gateway[] {
    return this.gateways.filter((gateway) => gateway?.isReady === true) as Gateway[];
  }

  start(): void {
    const { schedule } = this.#world;
    this.#supervisor = new Process(schedule, 'supervisor');
    this.#everServed = false;
    this.#startHost();
    this.#startGateway(0);
  }

  /** kill -9 of all of it. */
  kill(): void {
    this.#supervisor?.kill();
    this.#supervisor = undefined;
    for (const process of [...this.#running]) process.kill();
  }

  #begin(name: string): Process {
    const process = this.#world.begin(new Process(this.#world.schedule, name));
    this.#running.add(process);
    process.onEnd(() => this.#running.delete(process));
    return process;
  }

  #startHost(): void {
    const world = this.#world;
    const { schedule, token, clock } = world;
    const process = this.#begin('token host');
    const supervisor = this.#supervisor;
    process.onEnd(() => {
      if (this.host?.process === process) this.host = undefined;
      for (const gateway of this.gateways) this.#tell(gateway, (told) => told.tokens.down(keyStore, undefined));
      supervisor?.after(schedule.between(50, 1500), () => this.#startHost());
    });
    process.after(schedule.between(5, 300), () => {
      try {
        this.host = new TokenHost(schedule, process, token, clock);
      } catch {
        process.kill();
        return;
      }
      for (const gateway of this.gateways) this.#tell(gateway, (told) => told.tokens.ready(keyStore, 1));
    });
  }

  #startGateway(lane: number): void {
    const world = this.#world;
    const { schedule } = world;
    const process = this.#begin(`gateway ${lane}`);
    const supervisor = this.#supervisor;
    process.onEnd(() => supervisor?.after(schedule.between(50, 1500), () => this.#startGateway(lane)));
    process.after(schedule.between(5, 300), () => {
      const gateway = new Gateway({
        machine: world.machineOf(process),
        process,
        config: this.#config(lane),
        connect: connectFrom(schedule, process, () => this.host),
        log: this.#log(process),
        tell: (message) => this.#heard(lane, message),
      });
      this.gateways[lane] = gateway;
      this.#channels.set(
        gateway,
        inOrder(schedule, () => process),
      );
      if (this.host !== undefined) this.#tell(gateway, (told) => told.tokens.ready(keyStore, 1));
      gateway.start().catch((error: unknown) => this.#failed(process, error));
    });
  }

  #config(lane: number): GatewayConfig {
    return { ...this.#world.settings, mode: 'serve', lane, keyStores: [{ ...keyStore, socketPath }], listeners: [] };
  }

  #heard(lane: number, message: FromGateway): void {
    if (message.type === 'token-overrun') this.#supervisor?.after(1, () => this.host?.process.kill());
    if (message.type !== 'ready' || lane !== 0 || this.#everServed) return;
    this.#everServed = true;
    for (let next = 1; next < this.#world.settings.gateways; next += 1)
      this.#supervisor?.after(1, () => this.#startGateway(next));
  }

  #tell(gateway: Gateway | undefined, what: (told: Gateway) => void): void {
    if (gateway !== undefined) this.#channels.get(gateway)?.(() => what(gateway));
  }

  /** It is started again; what an operator would have to mend is a fault here. */
  #failed(process: Process, error: unknown): void {
    if (error instanceof Killed || !process.isAlive) return;
    if (error instanceof FatalError || error instanceof AuditDamagedError) this.fatal ??= String(error);
    this.said.push(`${process.name} could not start: ${String(error)}`);
    process.kill();
  }

  #log(process: Process): GatewayLog {
    const say = (message: string): void => {
      if (process.isAlive)
        this.said.push(`${Math.round(this.#world.schedule.nowMs)} ${process.name}: ${message.split('\n', 1)[0]}`);
    };
    return { error: say, warn: say, info: say, debug: () => undefined };
  }
}

type GatewayLog = ConstructorParameters<typeof Gateway>[0]['log'];
