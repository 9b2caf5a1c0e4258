// Whether the machine's clock is believed: by the time since its start within one boot, by a plausible absence over two, by an operator's word.
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { confirmClock } from '../../../src/cli/confirm-clock.js';
import { ClockKeeper } from '../../../src/process/clock-keeper.js';
import { clockPath, type ClockPoint, disbelief, presentPoint, readPoint } from '../../../src/process/clock-point.js';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const point: ClockPoint = { wallMs: 1_800_000_000_000, boot: 'a', uptimeMs: 1000, confirmed: false };
const later = (wallMs: number, uptimeMs: number, boot = 'a'): ClockPoint => ({
  ...point,
  boot,
  wallMs: point.wallMs + wallMs,
  uptimeMs: point.uptimeMs + uptimeMs,
});

describe('the clock', () => {
  it.each([
    ['goes as the time since the boot', later(100 * dayMs, 100 * dayMs)],
    ['is stepped by a time server', later(hourMs + 4 * minuteMs, hourMs)],
    ['is stepped back by a time server', later(hourMs - 4 * minuteMs, hourMs)],
    ['of a new boot is a long weekend ahead', later(3 * dayMs, 0, 'b')],
  ])('is believed when it %s', (_, present) => {
    expect(disbelief(point, present)).toBeUndefined();
  });

  it.each([
    ['was set forward within a boot', later(hourMs + 6 * minuteMs, hourMs), /set forward by 6 minutes/],
    ['was set forward by days', later(8 * dayMs, minuteMs), /set forward by 8 days/],
    ['was set back', later(hourMs - 6 * minuteMs, hourMs), /6 minutes behind/],
    ['of a new boot is days ahead', later(3 * dayMs + minuteMs, 0, 'b'), /3 days ahead of the last trace/],
    ['of a new boot is behind', later(-hourMs, 0, 'b'), /60 minutes behind/],
  ])('is not when it %s', (_, present, why) => {
    expect(disbelief(point, present)).toMatch(why);
  });
});

describe('the keeper of the clock', () => {
  let home: string;
  let offsetMs: number;
  /** What the kernel has counted beyond the test's own time. */
  let passedMs: number;
  let said: string[];
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'hsm-bridge-clock-'));
    offsetMs = 0;
    passedMs = 0;
    said = [];
  });
  afterEach(() => rmSync(home, { recursive: true }));

  const keeper = (newestRecordMs?: number, fails = false): ClockKeeper =>
    new ClockKeeper({
      home,
      present: () => {
        const now = presentPoint(Date.now() + offsetMs);
        return { ...now, uptimeMs: now.uptimeMs + passedMs };
      },
      newestRecordMs,
      onHeld: (why) => Promise.resolve(void said.push(why)),
      onConfirmed: () =>
        fails ? Promise.reject(new Error('the log is full')) : Promise.resolve(void said.push('confirmed')),
    });

  it('says once that it was set forward, holds over restarts, and believes it again when it is set right', async () => {
    const first = keeper();
    expect(await first.look()).toBeUndefined();
    expect(statSync(clockPath(home)).mode & 0o777).toBe(0o600);
    offsetMs = 8 * dayMs;
    expect(await first.look()).toMatch(/8 days/);
    expect(await first.look()).toMatch(/8 days/);
    expect(said).toHaveLength(1);
    const second = keeper();
    expect(second.doubt()).toMatch(/8 days/);
    expect(await second.look()).toMatch(/8 days/);
    offsetMs = 0;
    expect(await second.look()).toBeUndefined();
    expect(await first.look()).toBeUndefined();
  });

  it('believes a clock that goes on for weeks, and none that makes small steps forward again and again', async () => {
    const kept = keeper();
    for (let looks = 0; looks < 20; looks++) {
      expect(await kept.look()).toBeUndefined();
      passedMs += dayMs;
      offsetMs += dayMs;
    }
    expect(await kept.look()).toBeUndefined();
    const looks: (string | undefined)[] = [];
    for (let steps = 0; steps < 3; steps++) {
      passedMs += hourMs;
      offsetMs += hourMs + 4 * minuteMs;
      looks.push(await kept.look());
    }
    expect(looks).toEqual([
      undefined,
      'the clock was set forward by 8 minutes',
      'the clock was set forward by 12 minutes',
    ]);
  });

  it('goes by the newest audit record in a home without a point', async () => {
    expect(await keeper(Date.now() - 2 * dayMs).look()).toBeUndefined();
    rmSync(clockPath(home));
    expect(await keeper(Date.now() - 4 * dayMs).look()).toMatch(/4 days ahead/);
    expect(await keeper(Date.now() + dayMs).look()).toMatch(/behind/);
    expect(readPoint(home)).toBeUndefined();
  });

  it("takes an operator's word, and records it before it counts for good", async () => {
    await keeper().look();
    const before = readFileSync(clockPath(home), 'utf8');
    offsetMs = 8 * dayMs;
    // The command sees the same clock.
    const confirmedMs = confirmClock(home);
    expect(confirmedMs).toBeCloseTo(Date.now(), -4);
    writeFileSync(clockPath(home), JSON.stringify({ ...readPoint(home), wallMs: confirmedMs + offsetMs }));
    await expect(keeper(undefined, true).look()).rejects.toThrow('the log is full');
    expect(readPoint(home)?.confirmed).toBe(true);
    expect(await keeper().look()).toBeUndefined();
    expect(said).toEqual(['confirmed']);
    expect(readPoint(home)?.confirmed).toBe(false);
    // An older word, or point, put back is about another time.
    writeFileSync(clockPath(home), before);
    expect(await keeper().look()).toMatch(/8 days/);
  });

  it('does not believe what it cannot read, and follows no link', async () => {
    symlinkSync('/proc/uptime', clockPath(home));
    expect(await keeper().look()).toMatch(/cannot be read/);
  });

  it('has no word from somebody for a folder that is none of theirs', () => {
    expect(() => confirmClock(join(home, 'nowhere'))).toThrow(/no folder/);
  });
});
