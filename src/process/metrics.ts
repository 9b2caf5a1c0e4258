// What /metrics shows, in Prometheus's text format. Labels come from closed sets (operations, error codes, Regions, key stores), never from a caller.
import type { Trouble } from '../config/processes.js';
import type { KeyStoreRef } from '../model/key-store.js';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';

/** Of one token; milliseconds and counts since the start. */
export interface TokenCalls {
  readonly waiting: number;
  readonly inFlight: number;
  readonly answered: number;
  readonly tookMs: number;
  readonly waitedMs: number;
}

export interface Metrics {
  requestStarted(): void;
  /** `operation`: a name of the registry or `unknown`; `code`: an error code or `OK`. */
  requestEnded(operation: string, code: string): void;
  /** `budget`: which of an account's budgets was used up. */
  throttled(budget: 'requestRate' | 'requestsInFlight' | 'auditBytes'): void;
  auditWritable(writable: boolean): void;
  tokenUp(keyStore: KeyStoreRef, up: boolean): void;
  tokenBroken(keyStore: KeyStoreRef, broken: boolean): void;
  tokenCalls(keyStore: KeyStoreRef, work: 'using' | 'making', state: TokenCalls): void;
  tokenTrouble(keyStore: KeyStoreRef, trouble: Trouble): void;
  clockBelieved(believed: boolean): void;
  integrityFailures(count: number): void;
  /** Since the start. */
  cache(counts: { readonly reads: number; readonly rows: number; readonly all: number }): void;
  /** `endedAtMs` undefined: no verification has ended yet. */
  auditVerified(damagedLanes: number, records: number, endedAtMs: number | undefined): void;
  /** `reason`: one of a closed set. */
  connectionDropped(reason: string): void;
  connections(open: number, unproven: number): void;
  /** The text of /metrics. */
  text(): Promise<string>;
}

const tokenLabels = ['region', 'key_store'] as const;

/** A Region's default key store has no name, and Prometheus takes a label that is not there for an empty one. */
const labelsOf = ({ region, keyStore }: KeyStoreRef): Partial<Record<(typeof tokenLabels)[number], string>> =>
  keyStore === undefined ? { region } : { region, key_store: keyStore };

export function createMetrics(): Metrics {
  const registry = new Registry();
  // Memory, CPU, event-loop lag and collections of this process, under the names that dashboards expect.
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const counter = (name: string, help: string, ...labelNames: string[]): Counter =>
    new Counter({ name, help, labelNames, registers });
  const gauge = (name: string, help: string, ...labelNames: string[]): Gauge =>
    new Gauge({ name, help, labelNames, registers });
  const requests = counter('hsm_bridge_requests_total', 'Answered requests.', 'operation', 'code');
  const inFlight = gauge('hsm_bridge_requests_in_flight', 'Requests being served.');
  const throttled = counter('hsm_bridge_throttled_total', 'Requests of accounts that were over the budget.', 'budget');
  const audit = gauge(
    'hsm_bridge_audit_writable',
    '1 while the audit log can be written; while 0 no request is served.',
  );
  const token = gauge('hsm_bridge_token_up', '1 while the token answers.', ...tokenLabels);
  const refused = gauge(
    'hsm_bridge_token_broken',
    '1 while calls fail at once, because the token cannot be used.',
    ...tokenLabels,
  );
  const troubles = counter(
    'hsm_bridge_token_troubles_total',
    'What went wrong in token hosts: the PKCS#11 function, its return value, and what was lost.',
    ...tokenLabels,
    'function',
    'ckr',
    'lost',
  );
  const waiting = gauge(
    'hsm_bridge_token_waiting',
    'Calls that wait for their turn at the token, or for its host: those that make keys, and all others.',
    ...tokenLabels,
    'work',
  );
  const tokenInFlight = gauge(
    'hsm_bridge_token_in_flight',
    'Calls that the token host has; one of more than 8 KiB counts for several.',
    ...tokenLabels,
    'work',
  );
  const tokenAnswered = gauge(
    'hsm_bridge_token_answered',
    'Calls that the token host has answered since the start.',
    ...tokenLabels,
    'work',
  );
  const tokenSeconds = gauge(
    'hsm_bridge_token_seconds',
    'Seconds that these took in all, by what they spent them on.',
    ...tokenLabels,
    'work',
    'part',
  );
  const integrity = gauge(
    'hsm_bridge_integrity_failures',
    'Rows of the store found with a broken seal since the start.',
  );
  const cacheReads = gauge('hsm_bridge_cache_reads', 'Rows read from the store since the start, not being in memory.');
  const cacheDrops = gauge(
    'hsm_bridge_cache_drops',
    'Rows forgotten since the start, and times that all were, for commits of others than this gateway.',
    'what',
  );
  const damaged = gauge(
    'hsm_bridge_audit_damaged',
    'Lanes of the audit log found damaged or unreadable when they were last verified.',
  );
  const verified = gauge(
    'hsm_bridge_audit_verified_records',
    'Records found sound by the verification that runs, or by the last one.',
  );
  const verifiedAt = gauge(
    'hsm_bridge_audit_verified_timestamp_seconds',
    'When a verification of the whole audit log last ended; 0 before the first one has.',
  );
  const clock = gauge(
    'hsm_bridge_clock_believed',
    '1 while the clock fits what is known of the time; while 0 no scheduled deletion is carried out.',
  );
  const dropped = counter(
    'hsm_bridge_connections_dropped_total',
    'Connections of the AWS endpoint closed early: for want of room, or because no good signature came in time.',
    'reason',
  );
  const open = gauge(
    'hsm_bridge_connections',
    'Open connections of the AWS endpoint; unproven: no signature was good on it yet.',
    'state',
  );
  // prom-client hashes labels at each use; a request pays for one look-up in a map instead.
  const counters = new Map<string, Counter.Internal>();
  return {
    requestStarted: () => inFlight.inc(),
    requestEnded(operation, code) {
      inFlight.dec();
      const name = `${operation} ${code}`;
      let known = counters.get(name);
      if (known === undefined) {
        known = requests.labels(operation, code);
        counters.set(name, known);
      }
      known.inc();
    },
    throttled: (budget) => throttled.inc({ budget }),
    auditWritable: (writable) => audit.set(writable ? 1 : 0),
    tokenUp: (keyStore, up) => token.set(labelsOf(keyStore), up ? 1 : 0),
    tokenBroken: (keyStore, broken) => refused.set(labelsOf(keyStore), broken ? 1 : 0),
    tokenTrouble: (keyStore, { function: from, ckr, lost, count }) =>
      troubles.inc({ ...labelsOf(keyStore), function: from, ckr, lost }, count),
    tokenCalls(keyStore, work, state) {
      const labels = { ...labelsOf(keyStore), work };
      waiting.set(labels, state.waiting);
      tokenInFlight.set(labels, state.inFlight);
      tokenAnswered.set(labels, state.answered);
      tokenSeconds.set({ ...labels, part: 'turn' }, state.waitedMs / 1000);
      tokenSeconds.set({ ...labels, part: 'call' }, (state.tookMs - state.waitedMs) / 1000);
    },
    clockBelieved: (believed) => clock.set(believed ? 1 : 0),
    integrityFailures: (count) => integrity.set(count),
    cache({ reads, rows, all }) {
      cacheReads.set(reads);
      cacheDrops.set({ what: 'row' }, rows);
      cacheDrops.set({ what: 'all' }, all);
    },
    auditVerified(damagedLanes, records, endedAtMs) {
      damaged.set(damagedLanes);
      verified.set(records);
      verifiedAt.set((endedAtMs ?? 0) / 1000);
    },
    connectionDropped: (reason) => dropped.inc({ reason }),
    connections: (all, unproven) => {
      open.set({ state: 'unproven' }, unproven);
      open.set({ state: 'proven' }, all - unproven);
    },
    text: () => registry.metrics(),
  };
}
