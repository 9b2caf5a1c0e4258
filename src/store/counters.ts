// Messages counted per backing key, and leases: small rows that no seal covers, since they decide no access.
import type { Clock } from '../kernel/clock.js';
import type { LeaseStore, UsageStore } from '../ports/store.js';
import type { Writes } from './writes.js';

export class UsageRows implements UsageStore {
  readonly #writes: Writes;

  constructor(writes: Writes) {
    this.#writes = writes;
  }

  /** TypeError when `count` is not a whole number above zero. */
  async reserve(materialId: string, count: number): Promise<number> {
    if (!Number.isSafeInteger(count) || count < 1) throw new TypeError('a count is a whole number above zero');
    return this.#writes.run(async ({ trx }) => {
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
  readonly #writes: Writes;
  readonly #clock: Clock;

  constructor(writes: Writes, clock: Clock) {
    this.#writes = writes;
    this.#clock = clock;
  }

  async take(name: string, holder: string, ttlMs: number): Promise<boolean> {
    const now = this.#clock.now();
    const result = await this.#writes.run(({ trx }) =>
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
