// Lives of gateways: what holds a lease or makes material is named by one, and what a life that is over left half done is for others to settle.
import type { ExpressionBuilder, Kysely, RawBuilder } from 'kysely';
import { BridgeError } from '../kernel/errors.js';
import type { Random } from '../kernel/random.js';
import type { LifeStore, Place } from '../ports/store.js';
import type { PlainTables } from './plain-tables.js';
import type { Write, Writes } from './writes.js';

/** Without a sign of life for so long, by the database's clock, a life is over. */
const silenceMs = 60_000;
/** A row that nobody could mistake for one that lives goes with the next start. */
const forgottenMs = 24 * 60 * 60 * 1000;
/** In one `IN (…)`, of which SQLite takes 32,766. */
const idsAtOnce = 500;

export interface LifeRowsOptions {
  readonly db: Kysely<PlainTables>;
  readonly writes: Writes;
  readonly random: Random;
  readonly nowMs: RawBuilder<number>;
}

export class LifeRows implements LifeStore {
  readonly #options: LifeRowsOptions;
  #own: (Place & { readonly id: string }) | undefined;
  #isWritten = false;

  constructor(options: LifeRowsOptions) {
    this.#options = options;
  }

  async begin(place: Place): Promise<string> {
    const id = this.#options.random.uuid();
    this.#own = { ...place, id };
    try {
      await this.#options.writes.run((write) => this.ensure(write, id));
    } catch (error) {
      // On a disk that is full: it is written with the first row that names it, or the first beat that can be.
      if (!(error instanceof BridgeError)) throw error;
    }
    return id;
  }

  beat(): Promise<boolean> {
    return this.#options.writes.run((write) => this.#renew(write));
  }

  /**
   * With each row that names a life: the own one has its row by then, and lives from then on, also when it slept. KMSInternalException when
   * it is over: others would settle that row at once.
   */
  async ensure(write: Write, life: string): Promise<void> {
    if (this.#own?.id !== life || (await this.#renew(write))) return;
    const cause = new Error('this gateway is held to be gone');
    throw new BridgeError('KMSInternalException', undefined, { cause });
  }

  /** False when it is over. */
  async #renew(write: Write): Promise<boolean> {
    if (this.#own === undefined) return false;
    if (!this.#isWritten) {
      await this.#write(write, this.#own);
      return true;
    }
    const result = await write.trx
      .updateTable('lives')
      .set({ heartbeat_at_ms: this.#options.nowMs })
      .where('id', '=', this.#own.id)
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }

  async #write(write: Write, { id, host, lane, lanes }: Place & { readonly id: string }): Promise<void> {
    const { nowMs } = this.#options;
    const { trx } = write;
    const earlier = (eb: ExpressionBuilder<PlainTables, 'lives'>) =>
      eb.or([ofEarlierStarts({ host, lane, lanes })(eb), eb('heartbeat_at_ms', '<', eb(nowMs, '-', forgottenMs))]);
    // However many there are, none of them comes into this process.
    await trx
      .updateTable('leases')
      .set({ expires_at_ms: 0 })
      .where('holder', 'in', (eb) => eb.selectFrom('lives').select('id').where(earlier))
      .execute();
    await trx.deleteFrom('lives').where(earlier).execute();
    await trx.insertInto('lives').values({ id, host, lane, started_at_ms: nowMs, heartbeat_at_ms: nowMs }).execute();
    write.whenCommitted(() => (this.#isWritten = true));
  }

  /** Those of them that are over; never the own one. A life without a row is over: it said so, or was told from a later one of its lane. */
  async over(ids: Iterable<string>): Promise<ReadonlySet<string>> {
    const { db, nowMs } = this.#options;
    const own = this.#own;
    const over = new Set(ids);
    if (own !== undefined) over.delete(own.id);
    if (over.size === 0) return over;
    const asked = [...over];
    for (let start = 0; start < asked.length; start += idsAtOnce) {
      const living = await db
        .selectFrom('lives')
        .select('id')
        .where('id', 'in', asked.slice(start, start + idsAtOnce))
        .where((eb) => eb('heartbeat_at_ms', '>=', eb(nowMs, '-', silenceMs)))
        // Also while the disk is full, and their rows are still there.
        .$if(own !== undefined, (query) => query.where((eb) => eb.not(ofEarlierStarts(own as Place)(eb))))
        .execute();
      for (const { id } of living) over.delete(id);
    }
    return over;
  }
}

/** Lives of the home's same lane, which has one process at a time; lane 0 also answers for lanes that the daemon has no more. */
const ofEarlierStarts =
  ({ host, lane, lanes }: Place) =>
  (eb: ExpressionBuilder<PlainTables, 'lives'>) =>
    eb.and([
      eb('host', '=', host),
      lane === 0 ? eb.or([eb('lane', '=', lane), eb('lane', '>=', lanes)]) : eb('lane', '=', lane),
    ]);
