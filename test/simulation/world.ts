// One machine: its clocks, its disk, its token, and what runs on it. All that happens in it follows from the seed.
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { settingsSchema, type Settings } from '../../src/config/schema.js';
import type { Machine } from '../../src/compose.js';
import type { ClockPoint } from '../../src/process/clock-point.js';
import type { Metrics } from '../../src/process/metrics.js';
import { openSimulatedStore, type DatabaseFaults } from './database.js';
import { SimulatedDisk } from './disk.js';
import { account, region } from './gateway.js';
import { MachineClock, type Process } from './process.js';
import { seeded } from '../support/seeded.js';
import { Schedule } from './schedule.js';
import { SimulatedToken } from './token.js';

/** 2026-01-01. */
const beginningMs = 1_767_225_600_000;
const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export interface WorldOptions {
  readonly seed: number;
  readonly gateways: number;
  /** Its disk, token and home are where this world begins. */
  readonly after?: World;
}

export class World {
  readonly seed: number;
  readonly schedule: Schedule;
  readonly clock: MachineClock;
  readonly disk: SimulatedDisk;
  readonly token: SimulatedToken;
  readonly settings: Settings;
  readonly database: DatabaseFaults = { failingWrites: 0 };
  readonly #ids: () => number;
  /** Processes, by what the audit log's marks call them. */
  readonly #alive = new Set<string>();
  #boots = 1;
  #bootedAtMs = 0;

  constructor({ seed, gateways, after }: WorldOptions) {
    this.seed = seed;
    this.schedule = new Schedule(seeded(seed));
    this.#ids = seeded(seed ^ 0x5eed);
    this.clock = new MachineClock(this.schedule, beginningMs);
    this.disk = new SimulatedDisk(this.schedule, after?.disk);
    this.token = new SimulatedToken(after?.token);
    const home = mkdtempSync(join(memory, 'hsm-bridge-simulation-'));
    if (after !== undefined) cpSync(after.settings.home, home, { recursive: true });
    this.settings = settingsSchema.parse({ home, gateways, accounts: [account], defaultRegion: region });
  }

  get home(): string {
    return this.settings.home;
  }

  /** Of the machine, as one of its processes sees it. */
  machineOf(process: Process): Machine {
    const { schedule, clock, disk } = this;
    return {
      clock,
      timers: process.timers,
      random: process.random(this.#ids),
      disk: disk.of(process, this.home),
      processes: { self: String(process.number), isAlive: (owner) => this.#alive.has(owner) },
      openStore: (options) => openSimulatedStore(schedule, process, this.database, options),
      present: () => this.present(),
      createMetrics: () => noMetrics,
    };
  }

  /** It runs from now on. */
  begin(process: Process): Process {
    const owner = String(process.number);
    this.#alive.add(owner);
    process.onEnd(() => this.#alive.delete(owner));
    return process;
  }

  present(): ClockPoint {
    return {
      wallMs: this.clock.now(),
      boot: `boot-${this.#boots}`,
      uptimeMs: this.clock.monotonicMs() - this.#bootedAtMs,
      confirmed: false,
    };
  }

  /** Nothing runs any more when this is called. */
  cutPower(): void {
    this.disk.cutPower();
    this.#boots += 1;
    this.#bootedAtMs = this.clock.monotonicMs();
  }

  end(): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

const noMetrics = new Proxy({}, { get: () => () => undefined }) as Metrics;
