// Messages counted per backing key, and leases: small rows that no seal covers, since they decide no access.
import type { Kysely } from 'kysely';
import type { Clock } from '../kernel/clock.js';
import type { LeaseStore, UsageStore } from '../ports/store.js';
import type { Tables } from './tables.js';

export class UsageRows implements UsageStore {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  /** TypeError when `count` is not a whole number above zero. */
  async reserve(materialId: string, count: number): Promise<number> {
    if (!Number.isSafeInteger(count) || count < 1) throw new TypeError('a count is a whole number above zero');
    return this.#db.transaction().execute(async (trx) => {
      await trx
        .insertInto('usage')
        .values({ material_id: materialId, total: count })
        .onConflict((conflict) =>
          conflict.column('material_id').doUpdateSet((eb) => ({ total: eb('usage.total', '+', count) })),
        )
        .execute();
      const row = await trx
        .selectFrom('usage')
        .select('total')
        .where('material_id', '=', materialId)
        .executeTakeFirstOrThrow();
      return row.total;
    });
  }
}

/** Time is each gateway's own clock: hosts that share a database must keep theirs together (NTP). */
export class LeaseRows implements LeaseStore {
  readonly #db: Kysely<Tables>;
  readonly #clock: Clock;

  constructor(db: Kysely<Tables>, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  async take(name: string, holder: string, ttlMs: number): Promise<boolean> {
    const now = this.#clock.now();
    const result = await this.#db.transaction().execute((trx) =>
      trx
        .insertInto('leases')
        .values({ name, holder, expires_at_ms: now + ttlMs })
        .onConflict((conflict) =>
          conflict
            .column('name')
            .doUpdateSet({ holder, expires_at_ms: now + ttlMs })
            .where((eb) =>
              eb.or([
                eb('leases.holder', '=', holder),
                eb('leases.expires_at_ms', '<=', now),
                // Taken by a clock that was ahead: it would keep everybody from the work until then.
                eb('leases.expires_at_ms', '>', now + 2 * ttlMs),
              ]),
            ),
        )
        .executeTakeFirst(),
    );
    return result.numInsertedOrUpdatedRows === 1n;
  }
}
