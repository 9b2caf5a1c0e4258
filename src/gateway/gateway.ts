// A gateway's parts, as what tends it sees them.
import type { AuditLane } from '../audit/lane.js';
import type { GatewayConfig } from '../config/processes.js';
import type { ConnectionTable } from '../facades/aws-json/connections.js';
import type { Services } from '../operations/define.js';
import type { Clock, MonotonicClock } from '../kernel/clock.js';
import type { Timers } from '../kernel/timers.js';
import type { Store } from '../ports/store.js';
import type { ClockKeeper } from '../process/clock-keeper.js';
import type { Log } from '../process/log.js';
import type { Metrics } from '../process/metrics.js';
import type { RegionTokens } from '../token/regions.js';

export interface Gateway {
  readonly config: GatewayConfig;
  readonly services: Services;
  readonly store: Store;
  readonly audit: AuditLane;
  readonly tokens: RegionTokens;
  readonly keeper: ClockKeeper;
  readonly connections: ConnectionTable;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly clock: Clock & MonotonicClock;
  readonly timers: Timers;
  /** What runs beside the requests ends with it. */
  readonly ending: AbortController;
}
