// SQLite itself on a file in memory, one connection for each gateway, with time passing between the statements: others come between, and a
// gateway may end at any of them. What was committed is durable; what was not is rolled back.
import type { KyselyPlugin } from 'kysely';
import { sql } from 'kysely';
import { BridgeError } from '../../src/kernel/errors.js';
import type { Backend } from '../../src/store/backend.js';
import type { Shared } from '../../src/store/context.js';
import { storeOn, type StoreOptions } from '../../src/store/open.js';
import { openSqlite } from '../../src/store/sqlite/open.js';
import type { Store } from '../../src/ports/store.js';
import type { Process } from './process.js';
import type { Schedule } from './schedule.js';

export interface DatabaseFaults {
  /** How likely a transaction fails, before or after its commit. */
  failingWrites: number;
}

/** As `openStore`, for one process of the simulated world. */
export async function openSimulatedStore(
  schedule: Schedule,
  process: Process,
  faults: DatabaseFaults,
  options: StoreOptions,
): Promise<Store> {
  const caches: Shared[] = [];
  const { timers, random, onFault, path, clock } = options;
  const real = await openSqlite(path, { timers, random, onFault });
  // Once what was under way is rolled back: a connection that is closed in a transaction keeps its lock until it is collected.
  process.onEnd(() => schedule.after(0, () => void real.close()));
  const step = (): Promise<void> => process.step(schedule.between(0.01, schedule.chance(0.02) ? 20 : 0.3));
  const steps: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      await step();
      return result;
    },
  };
  const backend: Backend = {
    db: real.db.withPlugin(steps),
    // By the machine's clock, as SQLite's own is.
    nowMs: Object.create(sql<number>`0`, {
      toOperationNode: { value: () => sql<number>`${clock.now()}`.toOperationNode() },
    }) as Backend['nowMs'],
    async write(work) {
      await step();
      const fails = schedule.chance(faults.failingWrites);
      if (fails && schedule.chance(0.5)) throw refused();
      const result = await real.write((trx) => work(trx.withPlugin(steps)));
      await step();
      if (fails) throw refused();
      return result;
    },
    fault: () => real.fault(),
    mayHaveChanged: () => real.mayHaveChanged(),
    changes: () => real.changes(),
    close: () => real.close(),
  };
  return storeOn(backend, caches, options);
}

const refused = (): BridgeError =>
  new BridgeError('KMSInternalException', undefined, { cause: new Error('simulated: the database') });
