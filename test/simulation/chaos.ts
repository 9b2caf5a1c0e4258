// What goes wrong in a simulated world, one thing after another. Each seed has kinds of its own; at the end of them everything is well again.
import type { Daemon } from './daemon.js';
import type { World } from './world.js';

type Fault = (world: World, daemon: Daemon) => void;

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** From `lowMs` to `highMs`, as often in each order of magnitude. */
const spread = ({ schedule }: World, lowMs: number, highMs: number): number =>
  lowMs * (highMs / lowMs) ** schedule.random();

function restart(world: World, daemon: Daemon, meanwhile: () => void = () => undefined): void {
  daemon.kill();
  // What was on its way to the disk is in the kernel by now.
  world.schedule.after(5, meanwhile);
  world.schedule.after(5 + spread(world, 10, 5000), () => {
    if (!daemon.isUp) daemon.start();
  });
}

const faults = {
  killGateway({ schedule }, { gateways }) {
    schedule.pick(gateways)?.process.kill();
  },
  freezeGateway(world, { gateways }) {
    world.schedule.pick(gateways)?.process.freeze(spread(world, 100, 120_000));
  },
  killHost(_world, { host }) {
    host?.process.kill();
  },
  /** In the middle of what it does in the token. */
  doomHost({ schedule }, { host }) {
    if (host === undefined) return;
    host.library.doom = { callsLeft: 1 + Math.floor(schedule.random() * 3), afterwards: schedule.chance(0.5) };
  },
  hangHost(world, { host }) {
    host?.process.freeze(spread(world, 100, 60_000));
  },
  pullToken(world) {
    world.token.isAway = true;
    world.schedule.after(spread(world, 50, 5000), () => (world.token.isAway = false));
  },
  killDaemon(world, daemon) {
    restart(world, daemon);
  },
  cutPower(world, daemon) {
    restart(world, daemon, () => world.cutPower());
  },
  fillDisk(world) {
    world.disk.isFull = true;
    world.schedule.after(spread(world, 50, 5000), () => (world.disk.isFull = false));
  },
  failSyncs({ schedule, disk }) {
    disk.failingSyncs = 1 + Math.floor(schedule.random() * 2);
  },
  failWrites(world) {
    world.database.failingWrites = 0.3;
    world.schedule.after(spread(world, 50, 2000), () => (world.database.failingWrites = 0));
  },
  setClock(world) {
    const { schedule, clock } = world;
    clock.offsetMs = (schedule.chance(0.5) ? 1 : -1) * spread(world, 1000, 20 * dayMs);
    schedule.after(spread(world, 100, 5000), () => (clock.offsetMs = 0));
  },
} satisfies Record<string, Fault>;

type Name = keyof typeof faults;
const names = Object.keys(faults) as Name[];
/** What a supervisor's child or the machine may do at any time, also while keys are deleted. */
const ends: readonly Name[] = ['killGateway', 'killHost', 'doomHost', 'killDaemon', 'cutPower'];

export class Chaos {
  readonly happened: string[] = [];
  readonly #world: World;
  readonly #daemon: Daemon;
  readonly #own: readonly Name[];
  #ends = false;

  constructor(world: World, daemon: Daemon) {
    const { schedule } = world;
    this.#world = world;
    this.#daemon = daemon;
    this.#own = names.filter(() => schedule.chance(0.35));
  }

  /** From now on, about every `meanMs`, `count` times at most: callers must come to an end. */
  begin(meanMs: number, count: number, only: readonly Name[] = this.#own): void {
    this.#ends = false;
    if (only.length > 0) this.#later(meanMs, count, only);
  }

  /** Nothing more happens, and what is broken is well again. */
  end(): void {
    const { token, disk, database, clock } = this.#world;
    this.#ends = true;
    token.isAway = false;
    disk.isFull = false;
    disk.failingSyncs = 0;
    database.failingWrites = 0;
    clock.offsetMs = 0;
  }

  #later(meanMs: number, count: number, only: readonly Name[]): void {
    const { schedule } = this.#world;
    schedule.after(-meanMs * Math.log(1 - schedule.random()), () => {
      if (this.#ends) return;
      const name = schedule.pick(only);
      this.happened.push(`${Math.round(schedule.nowMs)} ${name}`);
      faults[name](this.#world, this.#daemon);
      if (count > 1) this.#later(meanMs, count - 1, only);
    });
  }
}

export { ends };
