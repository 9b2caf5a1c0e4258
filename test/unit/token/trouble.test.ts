// What the token host says of its troubles, in a storm too, and how often it asks a token whether it is well.
import { beforeEach, describe, expect, it } from 'vitest';
import type { Trouble } from '../../../src/config/processes.js';
import type { Timers } from '../../../src/kernel/timers.js';
import { TokenError } from '../../../src/token/host/cryptoki.js';
import { TokenLost } from '../../../src/token/host/fault.js';
import { createTroubles, type Troubles } from '../../../src/token/host/trouble.js';
import { WellCheck } from '../../../src/token/host/well-check.js';

const answered = (code: number, message: string): TokenError =>
  new TokenError('C_Sign', undefined, Object.assign(new Error(message), { code }));

describe('troubles', () => {
  let told: Trouble[];
  let due: (() => void)[];
  let troubles: Troubles;
  beforeEach(() => {
    told = [];
    due = [];
    const timers = { after: (_ms: number, call: () => void) => due.push(call) } as unknown as Timers;
    troubles = createTroubles((trouble) => told.push(trouble), timers);
  });
  const pass = (): void => due.splice(0).forEach((call) => call());

  it('name the function, the value and what was lost', () => {
    troubles.report(new TokenLost('the token is lost', { cause: answered(0x30, 'CKR_DEVICE_ERROR') }), 'token');
    expect(told).toEqual([
      {
        function: 'C_Sign',
        ckr: 'CKR_DEVICE_ERROR',
        lost: 'token',
        what: 'the token is lost: C_Sign: CKR_DEVICE_ERROR',
        count: 1,
      },
    ]);
    troubles.report(new TypeError('x is not a function'), 'token');
    expect(told[1]).toMatchObject({ function: 'none', ckr: 'none', what: 'x is not a function' });
  });

  it('are told at once, and in a storm as a number', () => {
    for (let i = 0; i < 10_000; i++) troubles.report(answered(0x30, 'CKR_DEVICE_ERROR'), 'nothing');
    expect(told.map(({ count }) => count)).toEqual([1]);
    pass();
    expect(told.map(({ count }) => count)).toEqual([1, 9999]);
    pass();
    expect(told).toHaveLength(2);
    troubles.report(answered(0x30, 'CKR_DEVICE_ERROR'), 'nothing');
    troubles.report(answered(0x30, 'CKR_DEVICE_ERROR'), 'nothing');
    troubles.flush();
    expect(told.map(({ count }) => count)).toEqual([1, 9999, 1, 1]);
  });

  it('are bounded, however many kinds a token thinks of', () => {
    for (let i = 1; i <= 10_000; i++) troubles.report(answered(0x8000_0000 + i, 'CKR_VENDOR_DEFINED'), 'token');
    expect(told.length).toBeLessThanOrEqual(101);
    troubles.flush();
    expect(told.reduce((sum, { count }) => sum + count, 0)).toBe(10_000);
  });
});

describe('the question whether the token is well', () => {
  let nowMs = 0;
  let asked = 0;
  let tookMs = 0;
  let isLoggedIn = true;
  let check: WellCheck;
  const ask = (): void => {
    asked += 1;
    nowMs += tookMs;
  };
  beforeEach(() => {
    [nowMs, asked, tookMs, isLoggedIn] = [0, 0, 0, true];
    check = new WellCheck({
      session: { isLoggedIn: () => isLoggedIn, requireAnswers: () => ask() },
      index: { isReachable: () => true },
      clock: { monotonicMs: () => nowMs },
    });
  });

  it('is asked ten times a second at most, and takes a twentieth of the time at most', () => {
    for (; nowMs < 1000; nowMs += 1) expect(check.isSessionWell()).toBe(true);
    expect(asked).toBe(10);
    [nowMs, asked, tookMs] = [5000, 0, 50];
    for (; nowMs < 15_000; nowMs += 1) check.isSessionWell();
    expect(asked * tookMs).toBeLessThanOrEqual(10_000 / 20 + tookMs);
  });

  it('is asked anew when the session is not logged in', () => {
    check.isSessionWell();
    isLoggedIn = false;
    expect([check.isSessionWell(), check.isSessionWell()]).toEqual([false, false]);
    expect(asked).toBe(3);
  });
});
