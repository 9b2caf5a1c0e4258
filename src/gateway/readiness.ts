// What the admin port tells: whether this gateway can serve, what should worry somebody, and its figures.
import type { BackgroundVerification } from '../audit/background.js';
import type { AdminOptions, Readiness } from '../facades/admin/server.js';
import { connectionsCheck } from '../facades/aws-json/connections.js';
import { defaultKeyStore, keyStoreName } from '../model/key-store.js';
import type { Gateway } from './gateway.js';

export function createReadiness(
  { audit, store, tokens, keeper, connections, metrics, config }: Gateway,
  verification: BackgroundVerification,
): AdminOptions {
  const ready = (): Readiness => {
    const { writable, reason } = audit.state();
    const broken = store.integrityFailures();
    const token = tokens.isUp(defaultKeyStore(config.defaultRegion));
    const verified = verification.state();
    const doubt = keeper.doubt();
    const fault = store.fault();
    return {
      ready: writable && token && fault === undefined,
      checks: {
        audit: { ok: writable, ...(reason === undefined ? {} : { detail: reason }) },
        token: { ok: token },
        store: { ok: fault === undefined, ...(fault === undefined ? {} : { detail: fault }) },
        // A Region, or a key store of one, that is not served does the others no harm, but somebody should look.
        regions: { ok: tokens.broken().size === 0, ...detailOf([...tokens.broken()].map((each) => each.join(': '))) },
        // A broken row is refused and the rest is served: a reason for an alarm, not for taking the daemon out of service.
        integrity: { ok: broken.length === 0, ...detailOf(broken) },
        // An alarm too.
        auditVerified: { ok: verified.state !== 'damaged', detail: verified.detail },
        clock: { ok: doubt === undefined, ...detailOf(doubt === undefined ? [] : [doubt]) },
        // So is a crowd: a client that has signed well keeps its connection.
        connections: connectionsCheck(connections.state()),
      },
    };
  };
  const text = (): Promise<string> => {
    metrics.auditWritable(audit.state().writable);
    metrics.clockBelieved(keeper.doubt() === undefined);
    const { open, unproven } = connections.state();
    metrics.connections(open, unproven);
    metrics.integrityFailures(store.integrityFailures().length);
    metrics.cache(store.cache());
    const { damagedLanes, records, endedAtMs } = verification.state();
    metrics.auditVerified(damagedLanes, records, endedAtMs);
    for (const keyStore of config.keyStores) {
      metrics.tokenUp(keyStore, tokens.isUp(keyStore));
      metrics.tokenBroken(keyStore, tokens.broken().has(keyStoreName(keyStore)));
      for (const work of ['using', 'making'] as const) metrics.tokenCalls(keyStore, work, tokens.state(keyStore, work));
    }
    return metrics.text();
  };
  return { ready, metrics: text };
}

const detailOf = (what: readonly string[]): { readonly detail?: string } =>
  what.length === 0 ? {} : { detail: what.join(' ') };
