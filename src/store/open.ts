// Opens the store: the database, the seals over it and the caches in front of it. Only this file knows which database it is.
import type { Clock, MonotonicClock } from '../kernel/clock.js';
import type { Store } from '../ports/store.js';
import type { Tokens } from '../ports/token.js';
import { AliasRows } from './aliases.js';
import type { Backend, OnFault } from './backend.js';
import { Caches, type StoreContext } from './context.js';
import { LeaseRows, UsageRows } from './counters.js';
import { CredentialRows } from './credentials.js';
import { DaemonKeys } from './daemon-keys.js';
import { ForeignRows } from './foreign.js';
import { KeyRows } from './keys.js';
import { RowSeals, type OnBroken } from './seal.js';
import { openSqlite } from './sqlite/open.js';
import { ChangeWatch } from './watch.js';

export interface StoreOptions {
  /** The SQLite file; its folder must exist. */
  readonly path: string;
  readonly tokens: Tokens;
  /** The Region whose token seals and keeps the credentials. */
  readonly defaultRegion: string;
  readonly clock: Clock & MonotonicClock;
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
  let clear = (): void => undefined;
  const backend = await openSqlite(options.path, (fault) => {
    clear();
    options.onFault(fault);
  });
  const caches = new Caches();
  clear = () => caches.clear();
  return storeOn(backend, caches, options);
}

/** A store on an open database of whichever kind. */
export function storeOn(backend: Backend, caches: Caches, options: Omit<StoreOptions, 'path'>): Store {
  const { tokens, clock, defaultRegion, onBroken, shared, pollMs = 200 } = options;
  const { db } = backend;
  const leases = new LeaseRows(db, clock);
  const daemonKeys = new DaemonKeys({ db, tokens, leases, clock, defaultRegion });
  const seals = new RowSeals(tokens, daemonKeys, onBroken);
  const watch = new ChangeWatch({ backend, clock, pollMs, shared, onChange: () => caches.clear() });
  const context: StoreContext = { db, caches, daemonKeys, seals, watch, tokens, clock, defaultRegion };
  const keys = new KeyRows(context);
  const aliases = new AliasRows(context);
  return {
    keys,
    aliases,
    foreign: new ForeignRows(context, keys, aliases),
    credentials: new CredentialRows(context),
    usage: new UsageRows(db),
    leases,
    fault: () => backend.fault(),
    integrityFailures: () => seals.failures(),
    wrongToken: (region) => daemonKeys.wrongToken(region),
    close() {
      watch.stop();
      return backend.close();
    },
  };
}
