// Messages counted per backing key: rows that no seal covers, since they decide no access.
import type { UsageStore } from '../ports/store.js';
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
