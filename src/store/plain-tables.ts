// The tables without a seal, as the query builder sees them: nothing in them decides access.
import type { Generated } from 'kysely';

/** A Region stands here once the daemon's own keys are known to exist in its token. */
interface TokenRow {
  readonly region: string;
  readonly serial: string;
  readonly daemon_keys_since_ms: number;
  /** The seal of a fixed text: another token's would be another. */
  readonly seal_check: Buffer;
}

interface UsageRow {
  readonly material_id: string;
  readonly total: number;
}

interface LeaseRow {
  readonly name: string;
  readonly holder: string;
  /** By the database's clock, as all times of lives and leases are. */
  readonly expires_at_ms: number;
  /** One more for each holder. */
  readonly token: number;
}

/** A start of a gateway; the row goes when that life is known to be over. */
interface LifeRow {
  readonly id: string;
  readonly host: string;
  readonly lane: number;
  readonly started_at_ms: number;
  readonly heartbeat_at_ms: number;
}

/** What each commit of a gateway changed, for the others (sqlite/notices.ts). */
interface ChangeRow {
  readonly seq: Generated<number>;
  /** The connection that committed. */
  readonly writer: string;
  /** A JSON array of names of rows, or `"all"`. */
  readonly changed: string;
}

/** A store adds its sealed table for its own queries. */
export interface PlainTables {
  tokens: TokenRow;
  usage: UsageRow;
  leases: LeaseRow;
  changes: ChangeRow;
  lives: LifeRow;
}
