import { it } from 'vitest';
import { trySeeds } from './seeds.js';

it('holds what it answered, whatever happens meanwhile (odd seeds)', () => trySeeds(1), 12 * 3_600_000);
