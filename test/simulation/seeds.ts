// Many seeds, one after the other; what a seed that fails says is enough to see it again.
import { expect } from 'vitest';
import { simulate, type Verdict } from './simulate.js';

/** `SEED=7` looks at one and tells its story; `SEEDS=100000 FROM=1` tries as many, for a night. */
const { SEED: one, SEEDS: count = '1000', FROM: from = '1' } = process.env;

/** Those of the run's seeds whose remainder by two is `parity`: two processes share the work. */
export async function trySeeds(parity: 0 | 1): Promise<void> {
  const seeds = one === undefined ? Array.from({ length: Number(count) }, (_, at) => Number(from) + at) : [Number(one)];
  const failed: Verdict[] = [];
  let calls = 0;
  for (const seed of seeds.filter((each) => Math.abs(each) % 2 === parity)) {
    const verdict = await simulate(seed);
    calls += verdict.calls;
    if (verdict.violations.length > 0) failed.push(verdict);
    if (one !== undefined) console.log(verdict.story.join('\n'));
    // A night's find is told at once.
    if (verdict.violations.length > 0) console.log(described(verdict));
  }
  expect(failed.map(described)).toEqual([]);
  if (one === undefined) expect(calls).toBeGreaterThan(0);
}

const described = ({ seed, violations }: Verdict): string =>
  `seed ${seed}: ${violations.slice(0, 5).join('; ')} (again: SEED=${seed} npm run simulate)`;
