// The name by which a home is known among all that share a store: made once, and kept in the home.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createDurably } from '../kernel/durable-file.js';
import type { Random } from '../kernel/random.js';

/** Whichever of several gateways comes first names it. Where the name is lost, its earlier lives are those of another host. */
export function hostOf(home: string, random: Random): string {
  const file = join(home, 'store', 'host');
  const known = read(file);
  if (known !== undefined) return known;
  createDurably(file, random.uuid());
  return readFileSync(file, 'utf8');
}

/** A disk that is full keeps no home from its name. */
function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
