// Opens the store: the database, the seals over it and the caches in front of it. Only this file knows which database it is.
import { BoundedMemory } from '../kernel/bounded-memory.js';
import type { Clock, MonotonicClock } from '../kernel/clock.js';
import type { Random } from '../kernel/random.js';
import type { Timers } from '../kernel/timers.js';
import type { Store } from '../ports/store.js';
import type { Tokens } from '../ports/token.js';
import type { Backend, Changed, OnFault } from './backend.js';
import { rowMemoryBytes, type Shared, type StoreContext } from './context.js';
import { DaemonKeys } from './daemon-keys.js';
import { ForeignRows } from './foreign.js';
import { LeaseRows } from './leases.js';
import { LifeRows } from './lives.js';
import { RowSeals, type OnBroken } from './seal.js';
import { openSqlite } from './sqlite/open.js';
import { createStores, sealedTables } from './tables.js';
import { UsageRows } from './usage.js';
import { ChangeWatch } from './watch.js';
import { dropNamed, Writes } from './writes.js';

export interface StoreOptions {
  /** The SQLite file; its folder must exist. */
  readonly path: string;
  readonly tokens: Tokens;
  /** The Region whose token seals and keeps the credentials. */
  readonly defaultRegion: string;
  readonly clock: Clock & MonotonicClock;
  readonly timers: Timers;
  readonly random: Random;
  readonly onBroken: OnBroken;
  /** Told when the schema is no longer this version's: from then on every call fails, until it is put right. */
  readonly onFault: OnFault;
  /** Other gateways have this file open: each read then sees what any of them has committed. */
  readonly shared: boolean;
  /** How often to look for changes by others than gateways. 200 by default; 400 at most keeps the promise of one second. */
  readonly pollMs?: number;
}

/** Fails with StoreOpenError. No token is used before the first read or write of a sealed row. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const caches: Shared[] = [];
  const { timers, random } = options;
  const onFault = (fault: string): void => {
    for (const cache of caches) cache.clear();
    options.onFault(fault);
  };
  const backend = await openSqlite(options.path, { timers, random, onFault });
  return storeOn(backend, caches, options);
}

/** A store on an open database of whichever kind. What it keeps of its rows is added to `caches`. */
export function storeOn(backend: Backend, caches: Shared[], options: Omit<StoreOptions, 'path' | 'onFault'>): Store {
  const { tokens, clock, timers, random, defaultRegion, onBroken, shared, pollMs = 200 } = options;
  const { db, nowMs } = backend;
  const writes = new Writes(backend);
  const leases = new LeaseRows(writes, nowMs);
  const lives = new LifeRows({ db, writes, random, nowMs });
  const parts = { db, writes, leases, lives, timers, tokens, clock, defaultRegion };
  const daemonKeys = new DaemonKeys({ ...parts, tables: sealedTables, random });
  const seals = new RowSeals(tokens, daemonKeys, onBroken);
  const forgotten = { rows: 0, all: 0 };
  const onChange = (changed: Changed): void => {
    if (changed !== 'all' && dropNamed(caches, changed)) {
      forgotten.rows += changed.length;
      return;
    }
    forgotten.all += 1;
    for (const cache of caches) cache.clear();
  };
  const watch = new ChangeWatch({ backend, clock, timers, pollMs, shared, onChange });
  const memory = new BoundedMemory(rowMemoryBytes);
  const context: StoreContext = { ...parts, caches, ofKey: [], memory, daemonKeys, seals, watch };
  const stores = createStores(context);
  return {
    ...stores,
    foreign: new ForeignRows(context, stores.keys, stores.aliases),
    usage: new UsageRows(writes),
    leases,
    lives,
    fault: () => backend.fault(),
    integrityFailures: () => seals.failures(),
    cache: () => ({ ...forgotten, reads: caches.reduce((sum, { reads }) => sum + reads, 0) }),
    wrongToken: (keyStore) => daemonKeys.wrongToken(keyStore),
    close() {
      watch.stop();
      return backend.close();
    },
  };
}
