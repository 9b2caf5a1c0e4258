// The log of faults: bounded, whatever callers cause, and without losing how many there were.
import { describe, expect, it } from 'vitest';
import { createFaultLog } from '../../../src/process/fault-log.js';

describe('the log of faults', () => {
  it('writes twenty at once, then one a second, and counts the others', () => {
    const lines: string[] = [];
    const clock = { nowMs: 0, now: () => clock.nowMs };
    const none = (): void => undefined;
    const fault = createFaultLog(
      { error: (line) => void lines.push(line), warn: none, info: none, debug: none },
      clock,
    );
    const many = (count: number): void => {
      for (let i = 0; i < count; i++) fault(new Error('away', { cause: new Error('unplugged') }));
    };
    many(100);
    expect(lines).toHaveLength(20);
    expect(lines[0]).toMatch(/^Error: away\n[^]*\ncaused by Error: unplugged\n/);
    expect(lines.join()).not.toContain('left out');
    clock.nowMs = 1500;
    many(100);
    expect(lines).toHaveLength(21);
    expect(lines[20]).toContain('\n80 faults before this one were left out');
    clock.nowMs = 2000;
    many(1);
    expect(lines[21]).toContain('\n99 faults before this one were left out');
    clock.nowMs = 3_600_000;
    many(100);
    expect(lines).toHaveLength(42);
  });
});
