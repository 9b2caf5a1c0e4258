// What the stores of one database share: the connection, the seals, the memory of rows, and what keeps which of them.
import type { Kysely } from 'kysely';
import type { BoundedMemory } from '../kernel/bounded-memory.js';
import type { Clock } from '../kernel/clock.js';
import type { Timers } from '../kernel/timers.js';
import type { KeyRef } from '../model/key.js';
import type { Tokens } from '../ports/token.js';
import type { DaemonKeys } from './daemon-keys.js';
import type { PlainTables } from './plain-tables.js';
import type { LeaseRows } from './leases.js';
import type { LifeRows } from './lives.js';
import type { RowSeals } from './seal.js';
import type { ChangeWatch } from './watch.js';
import type { Keeper, Write, Writes } from './writes.js';

/** All that a gateway keeps of its rows, whichever way they were found; its figure is 150 MB in all. */
export const rowMemoryBytes = 20 * 1024 * 1024;

/** A writer reads again and tries again this often when others change the same row between. */
export const writeAttempts = 25;

/** What is kept of one table's rows, as others see it. */
export interface Shared extends Keeper {
  /** Another number after each change of what it keeps. */
  readonly generation: number;
  /** How often it had to ask the database. */
  readonly reads: number;
  clear(): void;
}

/** A table of rows that belong to keys. */
export interface OfKey {
  /** Also those that are broken. */
  removeOfKey(write: Write, ref: KeyRef): Promise<void>;
}

/** What a row of a few short columns holds in memory: an alias (256 characters at most) or a credential. */
export const smallRowBytes = 1_024;

export interface StoreContext {
  readonly db: Kysely<PlainTables>;
  readonly writes: Writes;
  readonly leases: LeaseRows;
  readonly lives: LifeRows;
  /** Shared by all that is kept: a row counts once. */
  readonly memory: BoundedMemory;
  /** Each adds itself. */
  readonly caches: Shared[];
  /** As above; what others refer to comes last. */
  readonly ofKey: OfKey[];
  readonly daemonKeys: DaemonKeys;
  readonly seals: RowSeals;
  readonly watch: ChangeWatch;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly defaultRegion: string;
}
