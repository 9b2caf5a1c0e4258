// What is due from time to time: deletions, by a clock that is believed, and creations and rotations that will never end.
import { keyStoreName } from '../model/key-store.js';
import { deleteDueKeys, settleStaleCreations } from '../pipeline/maintenance.js';
import { SecondLook } from '../pipeline/second-look.js';
import type { ClockKeeper } from '../process/clock-keeper.js';
import { runJob, type Job } from '../process/jobs.js';
import type { Log } from '../process/log.js';
import type { Gateway } from './gateway.js';
import { onFailure, type Settler } from './settle.js';

const everyMs = 60_000;

export function upkeepJob({ config, services, store, keeper, log, clock, timers }: Gateway, settler: Settler): Job {
  const secondLook = new SecondLook(clock);
  return runJob({
    name: 'upkeep',
    everyMs,
    leases: store.leases,
    holder: services.life,
    clock,
    timers,
    log,
    run: async (lease) => {
      const clockBelieved = await isBelieved(keeper, log);
      const evidence = { secondLook, clockBelieved, lease };
      for (const keyStore of config.keyStores) {
        try {
          await deleteDueKeys(services, keyStore, evidence, onFailure(log, keyStore));
          await settler.upkeep(keyStore, lease);
          await settleStaleCreations(services, keyStore, evidence, onFailure(log, keyStore));
        } catch (error) {
          log.error(`upkeep of ${keyStoreName(keyStore)}: ${String(error)}`);
        }
      }
    },
  });
}

/** A word that is not on record does not count, nor a look that could not be kept. */
async function isBelieved(keeper: ClockKeeper, log: Log): Promise<boolean> {
  try {
    return (await keeper.look()) === undefined;
  } catch (error) {
    log.error(`no scheduled deletion is carried out, the clock cannot be judged: ${String(error)}`);
    return false;
  }
}
