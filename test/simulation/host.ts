// A token host of the simulated world: what the real one does with a request, behind a simulated connection.
import { join } from 'node:path';
import type { MonotonicClock } from '../../src/kernel/clock.js';
import { daemonKeys } from '../../src/ports/token.js';
import { calls } from '../../src/token/calls.js';
import { FrameDecoder, FrameWriter } from '../../src/token/frames.js';
import { MakingOrder } from '../../src/token/host/making-order.js';
import { NotReadYet, ObjectIndex } from '../../src/token/host/object-index.js';
import { Performer } from '../../src/token/host/performer.js';
import { loadProfile } from '../../src/token/host/profile.js';
import { TokenSession } from '../../src/token/host/session.js';
import type pkcs11 from 'pkcs11js';
import { statuses } from '../../src/token/wire.js';
import type { Process } from './process.js';
import type { Schedule } from './schedule.js';
import { SimulatedLibrary, type SimulatedToken } from './token.js';
import type { Accepted, Listening } from './wire.js';

const profile = loadProfile(join(import.meta.dirname, '../../native-config/softhsm2.json'));
const info = {
  label: 'simulated',
  serial: '1',
  algorithms: ['AES_256_GCM', 'HMAC_SHA_256'],
  callsInFlight: 1,
} as const;
const makes = new Set<number>(Object.values(calls).flatMap(({ op, work }) => (work === 'making' ? [op] : [])));

interface Request {
  readonly id: number;
  readonly op: number;
  readonly payload: Buffer;
  readonly from: FrameWriter;
}

export class TokenHost implements Listening {
  readonly process: Process;
  readonly library: SimulatedLibrary;
  readonly #schedule: Schedule;
  readonly #performer: Performer;
  readonly #index: ObjectIndex;
  readonly #order = new MakingOrder();
  readonly #waiting = { making: [] as Request[], using: [] as Request[] };
  readonly #busy = { making: false, using: false };

  /** Throws what the library returns. */
  constructor(schedule: Schedule, process: Process, token: SimulatedToken, clock: MonotonicClock) {
    this.process = process;
    this.#schedule = schedule;
    this.library = new SimulatedLibrary(token, process);
    const slot = { slot: Buffer.alloc(8), label: info.label, serial: info.serial, flags: 0 };
    const session = new TokenSession(this.library as unknown as pkcs11.PKCS11, slot);
    const index = (this.#index = new ObjectIndex(session, clock));
    index.start(Object.values(daemonKeys));
    while (index.readSlice().length > 0);
    this.#performer = new Performer({
      session,
      profile,
      info,
      index,
      clock,
      onTrouble: () => undefined,
      onAbsent: (ckaId) => this.#order.saidAbsent(ckaId),
    });
  }

  accept(connection: Accepted): ReturnType<Listening['accept']> {
    const writer = new FrameWriter((bytes, written) => {
      connection.send(bytes);
      written();
    });
    let isOpen = true;
    const decoder = new FrameDecoder((id, op, payload) => {
      this.#take({ id, op, payload: Buffer.from(payload), from: writer });
      return true;
    });
    return {
      data: (bytes) => {
        if (isOpen) decoder.push(bytes);
      },
      gone: () => {
        isOpen = false;
        this.#forget(writer);
      },
    };
  }

  /** What is being made is waited for, and what was said not to be there is not made: as the router has it. */
  #take(request: Request): void {
    const { id, op, payload, from } = request;
    if (op === calls.holds.op) {
      const [ckaId] = calls.holds.args.read(payload, 0, payload.length);
      this.#order.whenNotUnderWay(ckaId, () => this.#enqueue('using', request));
    } else if (op !== calls.generateKey.op) this.#enqueue(makes.has(op) ? 'making' : 'using', request);
    else if (this.#order.begin(madeBy(request))) this.#enqueue('making', request);
    else {
      from.commit(id, statuses.nothingMade, 0);
      from.flush();
    }
  }

  #enqueue(kind: 'making' | 'using', request: Request): void {
    this.#waiting[kind].push(request);
    this.#next(kind);
  }

  /** That gateway is gone: what waits is dropped, and what is under way goes on. */
  #forget(from: FrameWriter): void {
    for (const kind of ['making', 'using'] as const) {
      const [first, ...rest] = this.#waiting[kind];
      const isUnderWay = first !== undefined && this.#busy[kind];
      const dropped = (isUnderWay ? rest : this.#waiting[kind]).filter((request) => request.from === from);
      this.#waiting[kind] = this.#waiting[kind].filter((request) => !dropped.includes(request));
      for (const request of dropped) this.#over(request);
    }
  }

  #over(request: Request): void {
    if (request.op === calls.generateKey.op) this.#order.end(madeBy(request));
  }

  /** Keys are made beside the calls that use them. */
  #next(kind: 'making' | 'using'): void {
    const request = this.#waiting[kind][0];
    if (request === undefined || this.#busy[kind]) return;
    this.#busy[kind] = true;
    const longestMs = kind === 'using' ? 2 : this.#schedule.chance(0.2) ? 4000 : 200;
    const tookMs = this.#schedule.between(0.02, longestMs);
    this.process.after(tookMs, () => {
      this.#busy[kind] = false;
      this.#waiting[kind].shift();
      this.#perform(kind, request);
      this.#over(request);
      this.#next(kind);
    });
  }

  #perform(kind: 'making' | 'using', request: Request): void {
    const { id, op, payload, from } = request;
    try {
      if (this.#performer.perform(id, op, payload, from) instanceof NotReadYet) {
        this.#waiting[kind].unshift(request);
        this.#index.readSlice();
      }
      this.#performer.endTurn();
    } catch {
      // The token is lost, which was answered: the process ends, and the next one looks again.
      this.process.after(1, () => this.process.kill());
    }
    if (this.process.isAlive) from.flush();
  }
}

const madeBy = ({ payload }: Request): Buffer => calls.generateKey.args.read(payload, 0, payload.length)[0];
