// Whose turn it is, counted: a host with room for 8 calls, where every asker's calls are numbered as he makes them.
import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { placesOf, Turns, type Call, type Queue } from '../../../src/token/turns.js';

interface Named extends Call<Named> {
  readonly by: string;
  readonly n: number;
}

const options = { window: 8, room: 4096, roomWhileAway: 512 };

let turns: Turns<Named>;
/** What the host has, in the order in which it got it. */
let given: Named[];
let made: Map<string, number>;
let queues: Map<string, Queue<Named>>;

beforeEach(() => {
  start();
});

function start(changes: Partial<typeof options> = {}): void {
  turns = new Turns({ ...options, ...changes });
  turns.open();
  given = [];
  made = new Map();
  queues = new Map();
}

function queueOf(by: string): Queue<Named> {
  const queue = queues.get(by) ?? turns.queue(by === 'daemon');
  queues.set(by, queue);
  return queue;
}

/** Undefined: refused. */
function call(by: string, places = 1): Named | undefined {
  const queue = queueOf(by);
  if (!turns.admits(queue)) return undefined;
  const n = made.get(by) ?? 0;
  made.set(by, n + 1);
  const named = { by, n, queue, places };
  if (turns.enter(named)) given.push(named);
  return named;
}

/** The host answers the oldest call that it has. */
function answer(): void {
  const oldest = given.shift();
  if (oldest === undefined) throw new Error('the host has nothing');
  turns.leave(oldest);
  giveOn();
}

function giveOn(): void {
  for (let next = turns.next(); next !== undefined; next = turns.next()) given.push(next);
}

const calls = (by: string, count: number): number =>
  Array.from({ length: count }, () => call(by)).filter((each) => each !== undefined).length;

const atHost = (by: string): number => given.filter((each) => each.by === by).length;

describe('the window', () => {
  it('is half an account’s that is alone, and a call of another goes at once', () => {
    calls('flood', 1000);
    expect(atHost('flood')).toBe(4);
    call('other');
    expect(given.at(-1)).toMatchObject({ by: 'other', n: 0 });
  });

  it('keeps room for others also when the host never answers the first', () => {
    calls('flood', 1000);
    // The others' are answered out of turn: a host may make calls wait for a key, and serve those of others.
    for (let n = 0; n < 100; n++) {
      call('other');
      const got = given.pop();
      expect(got).toMatchObject({ by: 'other', n });
      turns.leave(got!);
      giveOn();
      expect(atHost('flood')).toBe(4);
    }
  });

  it('is served in turn: of two that want more than there is, each has every second answer', () => {
    calls('flood', 1000);
    calls('other', 1000);
    for (let n = 0; n < 100; n++) answer();
    const left = { flood: given.find(({ by }) => by === 'flood')!.n, other: given.find(({ by }) => by === 'other')!.n };
    expect(left.flood + left.other).toBe(100);
    expect(Math.abs(left.flood - left.other)).toBeLessThanOrEqual(4);
  });

  it('gives each of many their next call within a round, however much the first one has waiting', () => {
    calls('flood', 1000);
    const many = Array.from({ length: 20 }, (_, n) => `account ${n}`);
    for (const by of many) call(by);
    call('daemon');
    let answered = 0;
    while (!given.some(({ by }) => by === 'daemon')) {
      answer();
      answered += 1;
    }
    // 4 of the flood lay there before, then each of 20 once, and the flood once again.
    expect(answered).toBeLessThanOrEqual(4 + 20 + 1);
  });

  it('counts a large row for as many calls as it is long', () => {
    expect([0, 48, 8191, 8192, 200 * 1024].map(placesOf)).toEqual([1, 1, 1, 2, 26]);
    call('rows', 6);
    call('rows', 6);
    expect(atHost('rows')).toBe(1);
    call('other');
    expect(atHost('other')).toBe(1);
    // More than the whole window: alone, it is sent all the same.
    answer();
    answer();
    expect(atHost('rows')).toBe(1);
    answer();
    call('rows', 26);
    expect(atHost('rows')).toBe(1);
  });

  it('is shut while there is no host: all waits, in order and in turn', () => {
    turns.close();
    calls('a', 3);
    calls('b', 3);
    expect(given).toEqual([]);
    expect(turns.next()).toBeUndefined();
    turns.open();
    giveOn();
    expect(given.map(({ by, n }) => `${by}${n}`)).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2']);
  });
});

describe('the room', () => {
  it('is half an account’s that is alone: others have theirs however many it makes', () => {
    expect(calls('flood', 5000)).toBe(2048);
    expect(calls('other', 5000)).toBe(1024);
    expect(calls('third', 5000)).toBe(512);
    expect(calls('flood', 1)).toBe(0);
  });

  it('is smaller while there is no host', () => {
    turns.close();
    expect(calls('flood', 5000)).toBe(256);
    expect(calls('other', 5000)).toBe(128);
    turns.open();
    expect(calls('other', 5000)).toBe((4096 - 256 - 128 - 128) / 2);
  });

  it('of the daemon is its own, which no account can fill', () => {
    for (let n = 0; n < 100; n++) calls(`account ${n}`, 1100);
    expect(call('one more')).toBeUndefined();
    expect(calls('daemon', 5000)).toBe(2048);
  });

  it('is given back by every call that is over', () => {
    for (let round = 0; round < 3; round++) {
      expect(calls('flood', 5000)).toBe(2048);
      while (given.length > 0) answer();
    }
    expect([turns.waiting, turns.atHost]).toEqual([0, 0]);
  });
});

describe('a call whose deadline passed', () => {
  it('while it waited is never given, and makes no room at the host', () => {
    const first = Array.from({ length: 10 }, () => call('flood')!);
    turns.leave(first[5]!);
    expect(turns.next()).toBeUndefined();
    for (let n = 0; n < 9; n++) answer();
    expect(made.get('flood')).toBe(10);
    expect(given).toEqual([]);
    expect([turns.waiting, turns.atHost]).toEqual([0, 0]);
  });
});

it('loses no call, gives none twice, and keeps each asker’s order, whatever comes', () => {
  const step = fc.oneof(
    {
      arbitrary: fc.record({
        does: fc.constant('call' as const),
        by: fc.constantFrom('a', 'b', 'c', 'daemon'),
        places: fc.constantFrom(1, 1, 1, 2, 9),
      }),
      weight: 16,
    },
    {
      arbitrary: fc.record({ does: fc.constant('answer' as const), which: fc.nat(), givesOn: fc.boolean() }),
      weight: 8,
    },
    { arbitrary: fc.record({ does: fc.constant('expire' as const), which: fc.nat() }), weight: 3 },
    { arbitrary: fc.constant({ does: 'lose' as const }), weight: 1 },
    { arbitrary: fc.constant({ does: 'open' as const }), weight: 3 },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      start({ room: 40, roomWhileAway: 12 });
      const waiting = new Set<Named>();
      const last = new Map<string, number>();
      let open = true;
      const isGiven = (one: Named): void => {
        expect(open).toBe(true);
        expect(waiting.delete(one)).toBe(true);
        expect(one.n).toBeGreaterThan(last.get(one.by) ?? -1);
        last.set(one.by, one.n);
      };
      const drain = (): void => {
        for (let next = turns.next(); next !== undefined; next = turns.next()) {
          isGiven(next);
          given.push(next);
        }
        // Nobody waits for a host that has nothing.
        if (open && waiting.size > 0) expect(given.length).toBeGreaterThan(0);
      };
      for (const each of steps) {
        if (each.does === 'call') {
          const before = given.length;
          const one = call(each.by, each.places);
          if (one !== undefined) waiting.add(one);
          if (given.length > before) isGiven(one!);
        } else if (each.does === 'answer' && given.length > 0) {
          turns.leave(given.splice(each.which % given.length, 1)[0]!);
          if (each.givesOn) drain();
        } else if (each.does === 'expire' && waiting.size > 0) {
          const one = [...waiting][each.which % waiting.size]!;
          waiting.delete(one);
          turns.leave(one);
        } else if (each.does === 'lose') {
          turns.close();
          open = false;
          for (const one of given.splice(0)) turns.leave(one);
        } else if (each.does === 'open') {
          turns.open();
          open = true;
          drain();
        }
        expect(turns.waiting).toBe(waiting.size);
        expect(turns.atHost).toBe(given.reduce((sum, { places }) => sum + places, 0));
      }
      turns.open();
      open = true;
      drain();
      while (given.length > 0) {
        turns.leave(given.shift()!);
        drain();
      }
      expect(waiting.size).toBe(0);
      expect([...queues.values()].map(({ taken, atHost: there, room }) => taken + there + room.taken)).toEqual(
        [...queues.values()].map(() => 0),
      );
    }),
  );
});
