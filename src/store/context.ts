// What the stores of one database share: the connection, the seals and the caches that a change must empty.
import type { Kysely } from 'kysely';
import type { Clock } from '../kernel/clock.js';
import type { Alias, Key } from '../model/key.js';
import type { Credential } from '../model/principal.js';
import type { Tokens } from '../ports/token.js';
import { ReadCache } from './cache.js';
import type { DaemonKeys } from './daemon-keys.js';
import type { RowSeals } from './seal.js';
import type { Tables } from './tables.js';
import type { ChangeWatch } from './watch.js';

/** Entries a cache and the memory of checked seals hold at most. */
export const cacheLimit = 50_000;

/** A writer reads again and tries again this often when others change the same row between. */
export const writeAttempts = 25;

export class Caches {
  readonly keys = new ReadCache<Key>(cacheLimit);
  /** By Region and CKA_ID, and by Region, account and CKA_ID; null: it is not that account's. */
  readonly materials = new ReadCache<Key | null>(cacheLimit);
  readonly aliases = new ReadCache<Alias>(cacheLimit);
  readonly credentials = new ReadCache<Credential>(cacheLimit);

  /** Another number after each change of what a caller may name. */
  get changes(): number {
    return this.keys.generation + this.materials.generation + this.aliases.generation;
  }

  clear(): void {
    this.keys.clear();
    this.materials.clear();
    this.aliases.clear();
    this.credentials.clear();
  }
}

export interface StoreContext {
  readonly db: Kysely<Tables>;
  readonly caches: Caches;
  readonly daemonKeys: DaemonKeys;
  readonly seals: RowSeals;
  readonly watch: ChangeWatch;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly defaultRegion: string;
}
