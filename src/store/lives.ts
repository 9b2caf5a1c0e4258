// Lives of gateways: who holds a lease or makes material is named by one, and what a life that is over left half done is for others to settle.
import type { Kysely, RawBuilder } from 'kysely';
import type { Random } from '../kernel/random.js';
import type { LifeStore, Place } from '../ports/store.js';
import type { PlainTables } from './plain-tables.js';
import type { Writes } from './writes.js';

/** Without a sign of life for so long, by the database's clock, a life is over. */
const silenceMs = 60_000;
/** A row that nobody could mistake for one that lives goes with the next start. */
const forgottenMs = 24 * 60 * 60 * 1000;

export interface LifeRowsOptions {
  readonly db: Kysely<PlainTables>;
  readonly writes: Writes;
  readonly random: Random;
  readonly nowMs: RawBuilder<number>;
}

export class LifeRows implements LifeStore {
  readonly #options: LifeRowsOptions;
  #own: string | undefined;

  constructor(options: LifeRowsOptions) {
    this.#options = options;
  }

  async begin({ host, lane, lanes }: Place): Promise<string> {
    const { writes, random, nowMs } = this.#options;
    const id = random.uuid();
    await writes.run(async ({ trx }) => {
      const earlier = await trx
        .selectFrom('lives')
        .select('id')
        .where((eb) =>
          eb.or([
            eb.and([
              eb('host', '=', host),
              lane === 0 ? eb.or([eb('lane', '=', lane), eb('lane', '>=', lanes)]) : eb('lane', '=', lane),
            ]),
            eb('heartbeat_at_ms', '<', eb(nowMs, '-', forgottenMs)),
          ]),
        )
        .execute();
      const over = earlier.map((life) => life.id);
      if (over.length > 0) {
        await trx.deleteFrom('lives').where('id', 'in', over).execute();
        await trx.updateTable('leases').set({ expires_at_ms: 0 }).where('holder', 'in', over).execute();
      }
      await trx.insertInto('lives').values({ id, host, lane, started_at_ms: nowMs, heartbeat_at_ms: nowMs }).execute();
    });
    this.#own = id;
    return id;
  }

  async beat(): Promise<boolean> {
    const { writes, nowMs } = this.#options;
    const result = await writes.run(({ trx }) =>
      trx
        .updateTable('lives')
        .set({ heartbeat_at_ms: nowMs })
        .where('id', '=', this.#own ?? '')
        .executeTakeFirst(),
    );
    return result.numUpdatedRows === 1n;
  }

  /** Those of them that are over; never the own one. A life without a row is over: it said so, or was told from a later one of its lane. */
  async over(ids: Iterable<string>): Promise<ReadonlySet<string>> {
    const { db, nowMs } = this.#options;
    const over = new Set(ids);
    if (this.#own !== undefined) over.delete(this.#own);
    if (over.size === 0) return over;
    const living = await db
      .selectFrom('lives')
      .select('id')
      .where((eb) => eb('heartbeat_at_ms', '>=', eb(nowMs, '-', silenceMs)))
      .execute();
    for (const { id } of living) over.delete(id);
    return over;
  }
}
