// What counts as a host's silence, look by look: 1000 ms of it, a look every 100.
import { beforeEach, expect, it } from 'vitest';
import { Silence } from '../../../src/token/silence.js';

let silence: Silence;
let nowMs: number;
beforeEach(() => {
  silence = new Silence(1000, 100);
  nowMs = 0;
});

/** Whether any of the looks over this time says that it is too long. */
function pass(ms: number, busy = true, everyMs = 100): boolean {
  let tooLong = false;
  for (let passed = 0; passed < ms; passed += everyMs) {
    nowMs += everyMs;
    tooLong = silence.tooLong(nowMs, busy) || tooLong;
  }
  return tooLong;
}

it('is too long after the limit, once, and again with another host', () => {
  silence.heard();
  expect(pass(1000)).toBe(false);
  expect(pass(100)).toBe(true);
  expect(pass(10_000)).toBe(false);
  silence.reset();
  expect(pass(900)).toBe(false);
  expect(pass(100)).toBe(true);
});

it('is broken by a word', () => {
  for (let n = 0; n < 100; n++) {
    expect(pass(900)).toBe(false);
    silence.heard();
  }
});

it('is none while there is nothing to do', () => {
  expect(pass(100_000, false)).toBe(false);
  expect(pass(900)).toBe(false);
});

it('is not counted while this process stood still', () => {
  for (let n = 0; n < 4; n++) expect(pass(60_000, true, 60_000)).toBe(false);
  expect(pass(60_000, true, 60_000)).toBe(true);
});
