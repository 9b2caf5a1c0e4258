// The simulation finds what it is for: known bugs are put back one at a time, and some seed among the first ones shows each.
import { expect, it, vi } from 'vitest';
import { bugs, type Bug } from './bugs.js';
import type { Verdict } from './simulate.js';

const mostSeeds = 400;

/** In a world of modules of its own, with these in the place of the daemon's. */
async function firstFinding({ modules }: Bug): Promise<Verdict | undefined> {
  for (const [path, replace] of Object.entries(modules))
    vi.doMock(path, async (original) => replace(await original<never>()));
  vi.resetModules();
  try {
    const { simulate } = await import('./simulate.js');
    for (let seed = 1; seed <= mostSeeds; seed += 1) {
      const verdict = await simulate(seed);
      if (verdict.violations.length > 0) return verdict;
    }
    return undefined;
  } finally {
    for (const path of Object.keys(modules)) vi.doUnmock(path);
  }
}

it.each(bugs)(
  '$name',
  async (bug) => {
    const found = await firstFinding(bug);
    console.log(`${bug.name}: seed ${found?.seed}: ${found?.violations[0]}`);
    expect(found?.violations.join('\n')).toMatch(bug.shows);
  },
  600_000,
);
