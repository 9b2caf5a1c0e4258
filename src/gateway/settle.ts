// What a gateway does about what an earlier life left unfinished: in the audit log at its start, in each Region once its token is there.
import { closeInterrupted } from '../pipeline/interrupted.js';
import { reconcile, settleAbandoned, type OnFailure } from '../pipeline/maintenance.js';
import type { Lease } from '../ports/store.js';
import type { Log } from '../process/log.js';
import type { Gateway } from './gateway.js';

/** Between two slices of the look at all seals, each some milliseconds of the token's time at most. */
const sealPauseMs = 20;
const auditRetryMs = 1000;

/** Gives what a crash interrupted its end in the log. A disk that is full at the start is waited for. */
export async function settleAudit({ services, audit, log, timers }: Gateway): Promise<void> {
  // Taken once: the lane forgets an intent when its event is handed in, also when it cannot be written then.
  for (const intent of [...audit.unfinishedIntents()]) {
    for (let attempt = 0; ; attempt++) {
      try {
        await closeInterrupted(services, intent);
        break;
      } catch (error) {
        const { writable, reason } = audit.state();
        if (writable) throw error;
        if (attempt === 0) log.error(`the audit log cannot be written (${reason ?? ''}): waiting until it can`);
        await timers.sleep(auditRetryMs);
      }
    }
  }
}

export interface Settler {
  /** Each time a Region's token is up: looks whether it is the right one, and settles the Region the first time it is. */
  tokenIsUp(region: string): Promise<void>;
  /** At each turn of the upkeep: what gateways that are gone left half done in the Region. */
  upkeep(region: string, lease: Lease): Promise<void>;
}

export function createSettler(gateway: Gateway): Settler {
  const settled = new Map<string, Promise<void>>();
  const whole = new Set<string>();
  const begun = new Set<string>();
  const settle = async (region: string): Promise<void> => {
    const { services, log } = gateway;
    const { settled: done, missing, unknown } = await reconcile(services, region, onFailure(log, region));
    if (done > 0)
      log.warn(`${region}: finished or undid ${done} key creations or rotations that a crash had interrupted`);
    if (missing.count > 0)
      log.error(
        `${region}: the token does not hold the material of ${missing.count} keys: ${missing.first.join(', ')}${missing.count > missing.first.length ? ' …' : ''}`,
      );
    if (unknown > 0)
      log.warn(`${region}: the token holds ${unknown} keys that the store does not know; they are left alone`);
    // Health is that of the first gateway.
    if (gateway.config.lane === 0)
      checkAllSeals(gateway, region).catch((error: unknown) =>
        log.error(`${region}: the seals were not all checked: ${String(error)}`),
      );
  };
  const tokenIsUp = async (region: string): Promise<void> => {
    begun.add(region);
    const wrong = await gateway.store.wrongToken(region);
    if (wrong !== undefined) {
      gateway.tokens.down(region, 'token-unsafe');
      throw new Error(`${wrong}: the Region is not served with it`);
    }
    const settling = settled.get(region) ?? settle(region);
    settled.set(region, settling);
    settling.then(
      () => whole.add(region),
      () => settled.delete(region),
    );
    await settling;
  };
  const upkeep = async (region: string, lease: Lease): Promise<void> => {
    const { services, tokens, log } = gateway;
    if (whole.has(region)) {
      const count = await settleAbandoned(services, region, onFailure(log, region), lease);
      if (count > 0)
        log.warn(`${region}: finished or undid ${count} key creations or rotations of gateways that are gone`);
      return;
    }
    // What its settling has still to come to is not settled twice; one that failed is tried again, and one that nothing began is begun.
    if (settled.has(region)) return;
    if (begun.has(region) ? tokens.isUp(region) : await isLeftUnfinished(gateway, region)) await tokenIsUp(region);
  };
  return { tokenIsUp, upkeep };
}

/** So that health names each broken row, also those that nobody asks for. A row is refused when it is used, whether this came to it or not. */
async function checkAllSeals({ store, log, timers, ending }: Gateway, region: string): Promise<void> {
  let rows = 0;
  for await (const slice of store.keys.checkSeals(region)) {
    rows += slice;
    await timers.sleep(sealPauseMs);
    if (ending.signal.aborted) return;
  }
  log.info(`${region}: the seals of ${rows} keys were checked`);
}

export const onFailure =
  (log: Log, region: string): OnFailure =>
  (key, error) =>
    log.error(`${region}: key ${key.keyId}: ${String(error)}; what is left is tried again later`);

/** A look at what is unfinished starts the Region's token, and its settling with it. A failure is logged: the upkeep looks again. */
export async function lookAtUnsettled(gateway: Gateway, region: string): Promise<void> {
  try {
    await isLeftUnfinished(gateway, region);
  } catch (error) {
    gateway.log.warn(`${region}: what was left unfinished could not be looked at: ${String(error)}`);
  }
}

async function isLeftUnfinished({ store, log }: Gateway, region: string): Promise<boolean> {
  for await (const key of store.keys.unsettled(region, 'abandoned')) {
    log.debug(`${region}: key ${key.keyId} was left unfinished`);
    return true;
  }
  return false;
}
