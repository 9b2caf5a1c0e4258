import { expect, it } from 'vitest';
import { simulate } from './simulate.js';
import { trySeeds } from './seeds.js';

it('holds what it answered, whatever happens meanwhile (even seeds)', () => trySeeds(0), 12 * 3_600_000);

it('tells the same story again when it is asked for the same seed', async () => {
  const [once, again] = [await simulate(6), await simulate(6)];
  expect(once.events).toBeGreaterThan(500);
  expect({ ...again, story: again.story.map(withoutPath) }).toEqual({ ...once, story: once.story.map(withoutPath) });
});

const withoutPath = (line: string): string => line.replace(/--home \S+/, '');
