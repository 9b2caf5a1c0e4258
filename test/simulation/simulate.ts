// One seed: callers and faults at once, then calm, in which all that was answered must be so, and nothing else be left.
import { writePoint } from '../../src/process/clock-point.js';
import { Caller } from './callers.js';
import { Chaos, ends } from './chaos.js';
import { Daemon } from './daemon.js';
import { expectAnswersHold, expectNothingLeft, expectSoundLog } from './end.js';
import { Known } from './known.js';
import { Process } from './process.js';
import { World } from './world.js';

export interface Verdict {
  readonly seed: number;
  readonly violations: readonly string[];
  /** What happened, in order, for whoever looks into it. */
  readonly story: readonly string[];
  readonly events: number;
  readonly calls: number;
}

const dayMs = 86_400_000;
const minuteMs = 60_000;
/** Of the world: a run that lasts longer hangs. */
const limitMs = 10 * minuteMs;

let template: Promise<World> | undefined;

/** A home that has been served once: what is tested is not the first start of all. */
async function firstWorld(): Promise<World> {
  const world = new World({ seed: 0, gateways: 1 });
  const daemon = new Daemon(world);
  daemon.start();
  if (!(await world.schedule.run(minuteMs, () => daemon.isReady))) throw new Error('the first world does not start');
  // With the seals looked at, and the first turn of the upkeep.
  await world.schedule.run(2000);
  daemon.kill();
  await world.schedule.run(10);
  return world;
}

export async function simulate(seed: number): Promise<Verdict> {
  const after = await (template ??= firstWorld());
  const world = new World({ seed, gateways: seed % 6 === 0 ? 3 : 1 + (seed % 2), after });
  try {
    return await new Simulation(world).run();
  } finally {
    world.end();
  }
}

class Simulation {
  readonly #world: World;
  readonly #daemon: Daemon;
  readonly #known = new Known();
  readonly #chaos: Chaos;

  constructor(world: World) {
    this.#world = world;
    this.#daemon = new Daemon(world);
    this.#chaos = new Chaos(world, this.#daemon);
    world.disk.onDurable = (path, bytes) => {
      if (path.endsWith('.jsonl')) this.#known.becameDurable(bytes.toString());
    };
    world.token.onDestroyed = (ckaId) => {
      if (world.schedule.nowMs < 7 * dayMs)
        this.#known.violated(`the material ${ckaId} was destroyed within seven days`);
    };
  }

  async run(): Promise<Verdict> {
    const { schedule } = this.#world;
    await this.#phases().catch((error: unknown) => this.#known.violated(String(error)));
    this.#daemon.kill();
    await schedule.run(10);
    const { violations, answers } = this.#known;
    const story = [...this.#chaos.happened, ...this.#daemon.said].sort((a, b) => parseFloat(a) - parseFloat(b));
    return { seed: this.#world.seed, violations, story, events: schedule.count, calls: answers.size };
  }

  async #phases(): Promise<void> {
    const { schedule } = this.#world;
    await this.#start();
    await this.#load();
    await this.#calm();
    const dice = schedule.random();
    if (dice < 0.04) await this.#delete();
    else if (dice < 0.12) await this.#mislead();
    await this.#drive('the last look', expectAnswersHold(this.#world, this.#daemon, this.#known));
    this.#daemon.kill();
    await schedule.run(10);
    expectNothingLeft(this.#world, this.#known);
    const verifier = new Process(schedule, 'verifier');
    await this.#drive('the verification', expectSoundLog(this.#world, verifier, this.#known));
  }

  async #load(): Promise<void> {
    const { schedule } = this.#world;
    const callers = Array.from(
      { length: 3 },
      (_, number) => new Caller(number, this.#world, this.#daemon, this.#known),
    );
    this.#chaos.begin(schedule.between(40, 400), 6);
    await this.#drive('the load', Promise.all(callers.map((caller) => caller.run(5))));
    this.#chaos.end();
  }

  /** Everything starts once more, and what lives that are over have left is settled. */
  async #calm(): Promise<void> {
    const { schedule } = this.#world;
    this.#chaos.end();
    await schedule.run(schedule.between(0, 500));
    this.#daemon.kill();
    await schedule.run(10);
    if (schedule.chance(0.3)) this.#world.cutPower();
    await this.#start();
    // More than two turns of the upkeep, and more than the silence after which a life is over.
    await this.#quietly(2.5 * minuteMs);
  }

  /** The clock says that weeks have passed, to a daemon that runs and to one that starts, until somebody sets it right. */
  async #mislead(): Promise<void> {
    const { schedule, clock } = this.#world;
    clock.offsetMs = schedule.between(8, 20) * dayMs;
    await this.#quietly(1.5 * minuteMs);
    this.#daemon.kill();
    await schedule.run(10);
    await this.#start();
    await this.#quietly(1.5 * minuteMs);
    await this.#calm();
  }

  /** Days without the daemon, an operator's word that the clock is right, and the hour that deletions wait; things end meanwhile. */
  async #delete(): Promise<void> {
    const { schedule } = this.#world;
    this.#daemon.kill();
    await schedule.run(10);
    await schedule.run(8 * dayMs);
    writePoint(this.#world.home, { ...this.#world.present(), confirmed: true });
    await this.#start();
    await this.#quietly(58 * minuteMs);
    this.#chaos.begin(minuteMs / 2, 6, ends);
    await this.#quietly(4 * minuteMs);
    await this.#calm();
    await this.#quietly(68 * minuteMs);
    for (const key of this.#known.keys) if (key.state === 'PendingDeletion') key.state = 'Deleted';
  }

  async #start(): Promise<void> {
    const { schedule } = this.#world;
    if (!this.#daemon.isUp) this.#daemon.start();
    const isReady = await schedule.run(minuteMs, () => this.#daemon.isReady || this.#daemon.fatal !== undefined);
    if (this.#daemon.fatal !== undefined) throw new Error(`the daemon cannot go on: ${this.#daemon.fatal}`);
    if (!isReady) throw new Error('the daemon is not ready within a minute');
  }

  async #quietly(ms: number): Promise<void> {
    const { schedule } = this.#world;
    const { strideMs } = schedule;
    schedule.strideMs = 55_000;
    await schedule.run(ms);
    schedule.strideMs = strideMs;
  }

  async #drive(what: string, work: Promise<unknown>): Promise<void> {
    let isOver = false;
    const over = work.finally(() => (isOver = true));
    const { schedule } = this.#world;
    if (!(await schedule.run(limitMs, () => isOver))) throw new Error(`${what} does not end`);
    await over;
  }
}
