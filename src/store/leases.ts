// Leases: work that one holder does at a time, by the database's clock. Each holder has a number of its own, by which a write of one that
// slept past its lease is told from its successor's.
import type { RawBuilder } from 'kysely';
import { BridgeError } from '../kernel/errors.js';
import type { Lease, LeaseStore } from '../ports/store.js';
import type { Write, Writes } from './writes.js';

export class LeaseRows implements LeaseStore {
  readonly #writes: Writes;
  readonly #nowMs: RawBuilder<number>;

  constructor(writes: Writes, nowMs: RawBuilder<number>) {
    this.#writes = writes;
    this.#nowMs = nowMs;
  }

  take(name: string, holder: string, ttlMs: number): Promise<Lease | undefined> {
    return this.#writes.run(async ({ trx }) => {
      const lease = await trx
        .selectFrom('leases')
        .select((eb) => [
          eb('holder', '=', holder).as('own'),
          // A number that no daemon has counted up to is another hand's: it must not keep everybody from the work for good.
          eb.case().when('token', '<', Number.MAX_SAFE_INTEGER).then(eb.ref('token')).else(0).end().as('token'),
          eb
            .or([
              eb('expires_at_ms', '<=', this.#nowMs),
              // Taken before the clock was set back: it would keep everybody from the work until then.
              eb('expires_at_ms', '>', eb(this.#nowMs, '+', 2 * ttlMs)),
            ])
            .as('free'),
        ])
        .where('name', '=', name)
        .executeTakeFirst();
      // Databases differ in how they say true.
      if (lease !== undefined && !lease.own && !lease.free) return undefined;
      const token = lease === undefined ? 1 : lease.token + (lease.own ? 0 : 1);
      await trx
        .insertInto('leases')
        .values((eb) => ({ name, holder, token, expires_at_ms: eb(this.#nowMs, '+', ttlMs) }))
        .onConflict((conflict) =>
          conflict.column('name').doUpdateSet((eb) => ({ holder, token, expires_at_ms: eb(this.#nowMs, '+', ttlMs) })),
        )
        .execute();
      return { name, holder, token };
    });
  }

  async release({ name, holder, token }: Lease): Promise<void> {
    await this.#writes.run(({ trx }) =>
      trx
        .updateTable('leases')
        .set({ expires_at_ms: 0 })
        .where('name', '=', name)
        .where('holder', '=', holder)
        .where('token', '=', token)
        .execute(),
    );
  }

  /** In the transaction that writes for its holder. KMSInternalException when the lease has run out or is another's. */
  async require({ trx }: Write, { name, holder, token }: Lease): Promise<void> {
    const held = await trx
      .selectFrom('leases')
      .select('name')
      .where('name', '=', name)
      .where('holder', '=', holder)
      .where('token', '=', token)
      .where('expires_at_ms', '>', this.#nowMs)
      .executeTakeFirst();
    if (held !== undefined) return;
    throw new BridgeError('KMSInternalException', undefined, { cause: new Error(`the lease ${name} has run out`) });
  }
}
