// What a gateway does about what an earlier life left unfinished: in the audit log at its start, in each key store once its token is there.
import { closeInterrupted } from '../pipeline/interrupted.js';
import { reconcile, settleAbandoned, type OnFailure, type Reconciled } from '../pipeline/maintenance.js';
import { isDefault, keyStoreName, type KeyStoreRef } from '../model/key-store.js';
import type { Lease } from '../ports/store.js';
import { theDaemon } from '../ports/token.js';
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
  /** Each time a token is up: looks whether it is the right one, and settles the key store the first time it is. */
  tokenIsUp(keyStore: KeyStoreRef): Promise<void>;
  /** At each turn of the upkeep: what gateways that are gone left half done in the key store. */
  upkeep(keyStore: KeyStoreRef, lease: Lease): Promise<void>;
}

export function createSettler(gateway: Gateway): Settler {
  // All by name.
  const settled = new Map<string, Promise<void>>();
  const whole = new Set<string>();
  const begun = new Set<string>();
  const settle = async (keyStore: KeyStoreRef): Promise<void> => {
    const { services, log } = gateway;
    tellReconciled(gateway, keyStore, await reconcile(services, keyStore, onFailure(log, keyStore)));
    const { region } = keyStore;
    // All rows of a Region are sealed by its default token. Health is that of the first gateway.
    if (isDefault(keyStore) && gateway.config.lane === 0)
      checkAllSeals(gateway, region).catch((error: unknown) =>
        log.error(`${region}: the seals were not all checked: ${String(error)}`),
      );
  };
  const tokenIsUp = async (keyStore: KeyStoreRef): Promise<void> => {
    const name = keyStoreName(keyStore);
    begun.add(name);
    const wrong = await gateway.store.wrongToken(keyStore);
    if (wrong !== undefined) {
      gateway.tokens.down(keyStore, 'token-unsafe');
      throw new Error(`${wrong}: the ${isDefault(keyStore) ? 'Region' : 'key store'} is not served with it`);
    }
    const settling = settled.get(name) ?? settle(keyStore);
    settled.set(name, settling);
    settling.then(
      () => whole.add(name),
      () => settled.delete(name),
    );
    await settling;
  };
  const upkeep = async (keyStore: KeyStoreRef, lease: Lease): Promise<void> => {
    const { services, tokens, log } = gateway;
    const name = keyStoreName(keyStore);
    if (whole.has(name)) {
      const count = await settleAbandoned(services, keyStore, onFailure(log, keyStore), lease);
      if (count > 0)
        log.warn(`${name}: finished or undid ${count} key creations or rotations of gateways that are gone`);
      return;
    }
    // What its settling has still to come to is not settled twice; one that failed is tried again, and one that nothing began is begun.
    if (settled.has(name)) return;
    if (begun.has(name) ? tokens.isUp(keyStore) : await isLeftUnfinished(gateway, keyStore)) await tokenIsUp(keyStore);
  };
  return { tokenIsUp, upkeep };
}

function tellReconciled({ tokens, log }: Gateway, keyStore: KeyStoreRef, found: Reconciled): void {
  const name = keyStoreName(keyStore);
  const { settled, missing, unknown, unserved } = found;
  if (settled > 0)
    log.warn(`${name}: finished or undid ${settled} key creations or rotations that a crash had interrupted`);
  if (missing.count > 0)
    log.error(
      `${name}: the token does not hold the material of ${missing.count} keys: ${missing.first.join(', ')}${missing.count > missing.first.length ? ' …' : ''}`,
    );
  if (unknown > 0)
    log.warn(`${name}: the token holds ${unknown} keys that the store does not know; they are left alone`);
  if (unserved.count === 0) return;
  log.error(
    `${name}: ${unserved.count} backing keys are in key stores that are not configured (${unserved.first.join(', ')}): their keys cannot be used`,
  );
  for (const other of unserved.first) tokens.missed({ region: keyStore.region, keyStore: other });
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
  (log: Log, keyStore: KeyStoreRef): OnFailure =>
  (key, error) =>
    log.error(`${keyStoreName(keyStore)}: key ${key.keyId}: ${String(error)}; what is left is tried again later`);

/** What is unfinished starts the token, and its settling with it. A failure is logged: the upkeep looks again. */
export async function lookAtUnsettled(gateway: Gateway, keyStore: KeyStoreRef): Promise<void> {
  try {
    if (await isLeftUnfinished(gateway, keyStore)) gateway.tokens.of(keyStore, theDaemon);
  } catch (error) {
    gateway.log.warn(`${keyStoreName(keyStore)}: what was left unfinished could not be looked at: ${String(error)}`);
  }
}

async function isLeftUnfinished({ store, log }: Gateway, keyStore: KeyStoreRef): Promise<boolean> {
  for await (const key of store.keys.unsettled(keyStore, 'abandoned')) {
    log.debug(`${keyStoreName(keyStore)}: key ${key.keyId} was left unfinished`);
    return true;
  }
  return false;
}
