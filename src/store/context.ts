// What the stores of one database share: the connection, the seals and the caches that a change must empty.
import type { Kysely } from 'kysely';
import { BoundedMemory, textBytes } from '../kernel/bounded-memory.js';
import type { Clock } from '../kernel/clock.js';
import type { Alias, Key } from '../model/key.js';
import type { Credential } from '../model/principal.js';
import type { Tokens } from '../ports/token.js';
import { ReadCache } from './cache.js';
import type { DaemonKeys } from './daemon-keys.js';
import type { RowSeals } from './seal.js';
import type { Tables } from './tables.js';
import type { ChangeWatch } from './watch.js';

/** All that a gateway keeps of its rows, whichever way they were found; its figure is 150 MB in all. */
const rowMemoryBytes = 20 * 1024 * 1024;

/** A writer reads again and tries again this often when others change the same row between. */
export const writeAttempts = 25;

export class Caches {
  /** Shared with the memory of checked seals: a row counts once. */
  readonly memory: BoundedMemory;
  readonly keys: ReadCache<Key>;
  /** By Region and CKA_ID, and by Region, account and CKA_ID; null: it is not that account's. */
  readonly materials: ReadCache<Key | null>;
  readonly aliases: ReadCache<Alias>;
  readonly credentials: ReadCache<Credential>;

  constructor(memoryBytes = rowMemoryBytes) {
    this.memory = new BoundedMemory(memoryBytes);
    this.keys = new ReadCache(this.memory, keyBytes);
    this.materials = new ReadCache(this.memory, (key) => (key === null ? 0 : keyBytes(key)));
    this.aliases = new ReadCache(this.memory, () => smallRowBytes);
    this.credentials = new ReadCache(this.memory, () => smallRowBytes);
  }

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

/** An alias (256 characters at most) or a credential. */
export const smallRowBytes = 1_024;

/** Measured with texts of no length; the policy as it is evaluated is remembered elsewhere, and counted there. */
const keyObjectBytes = 1_024;
const memberObjectBytes = 100;

/** What a key holds, for the memory that keeps it. */
export function keyBytes(key: Key): number {
  let bytes = keyObjectBytes + textBytes(key.policy) + textBytes(key.description);
  for (const { TagKey, TagValue } of key.tags) bytes += memberObjectBytes + textBytes(TagKey) + textBytes(TagValue);
  for (const { materialId } of key.backingKeys) bytes += memberObjectBytes + textBytes(materialId);
  return bytes;
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
