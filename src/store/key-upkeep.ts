// The keys that a start and the jobs look at, page by page: ids come from indexes, a row is read when it is its turn, and no page holds up
// the event loop for long. Rows with a broken seal are noted and left out.
import { sql, type RawBuilder } from 'kysely';
import type { Key } from '../model/key.js';
import type { KeyStoreRef } from '../model/key-store.js';
import type { MaterialPlace } from '../ports/store.js';
import type { BackingKeyTables } from './backing-keys.js';
import type { StoreContext } from './context.js';
import { type keys, type KeyRow, type KeyTables } from './key-row.js';
import type { TableAtWork } from './sealed-table.js';

/** Ids read at a time; also values in one `IN (…)`, of which SQLite takes 32,766. */
const pageIds = 500;
/** A key and what is beside it has 200 KB at most. */
const rowsAtOnce = 8;
/** Whose seals are asked for together. */
const lotBytes = 32 * 1024;
const lotRows = 16;
/** What is checked between two pauses. */
const sliceBytes = 256 * 1024;
const sliceRows = 64;

/** As written in the indexes of the same names (migrations.ts): SQLite uses a partial index only for the very words of its condition. */
const isUnsettled: RawBuilder<boolean> = sql`(status = 'creating' or pending_material_id is not null)`;
const lacksMaterial: RawBuilder<boolean> = sql`material_missing = 1`;

interface Place {
  readonly account_id: string;
  readonly key_id: string;
}

/** Asked of each page and not of the database, which would look through all of a Region's rows for the few of a small key store at once. */
const isIn =
  ({ keyStore }: KeyStoreRef) =>
  (row: { readonly key_store: string | null }): boolean =>
    row.key_store === (keyStore ?? null);

export class KeyUpkeep {
  readonly #context: StoreContext;
  readonly #table: TableAtWork<typeof keys>;

  constructor(context: StoreContext, table: TableAtWork<typeof keys>) {
    this.#context = context;
    this.#table = table;
  }

  async *due(keyStore: KeyStoreRef, nowMs: number): AsyncGenerator<Key> {
    const { region } = keyStore;
    let after = { deletion_at_ms: 0, account_id: '', key_id: '' };
    for (;;) {
      const page = await this.#keys
        .selectFrom('keys')
        .select(['deletion_at_ms', 'account_id', 'key_id', 'key_store'])
        .where('region', '=', region)
        .where('status', 'in', ['pendingDeletion', 'deleting'])
        .where('deletion_at_ms', '<=', nowMs)
        .where(
          sql<boolean>`(deletion_at_ms, account_id, key_id) > (${after.deletion_at_ms}, ${after.account_id}, ${after.key_id})`,
        )
        .orderBy('deletion_at_ms')
        .orderBy('account_id')
        .orderBy('key_id')
        .limit(pageIds)
        .execute();
      const own = page.filter(isIn(keyStore));
      yield* this.#open(region, own, (row) => row.deletion_at_ms !== null && row.deletion_at_ms <= nowMs);
      const last = page.at(-1);
      if (last === undefined || page.length < pageIds) return;
      await this.#otherWork();
      after = { ...last, deletion_at_ms: last.deletion_at_ms ?? 0 };
    }
  }

  async *unsettled(keyStore: KeyStoreRef, which: 'all' | 'abandoned'): AsyncGenerator<Key> {
    const { region } = keyStore;
    let after: Place = { account_id: '', key_id: '' };
    for (;;) {
      const page = await this.#keys
        .selectFrom('keys')
        .select(['account_id', 'key_id', 'key_store', 'life', 'pending_material_id', 'version'])
        .where('region', '=', region)
        .where(isUnsettled)
        .where(sql<boolean>`(account_id, key_id) > (${after.account_id}, ${after.key_id})`)
        .orderBy('account_id')
        .orderBy('key_id')
        .limit(pageIds)
        .execute();
      const own = page.filter(isIn(keyStore));
      const over = await this.#context.lives.over(own.map((row) => row.life ?? ''));
      const concerned = (row: { readonly life: string | null }): boolean => which === 'all' || over.has(row.life ?? '');
      const abandoned = own.filter(concerned);
      const used = await this.#used(abandoned.flatMap((row) => row.pending_material_id ?? []));
      for (const row of abandoned) {
        if (!used.has(row.pending_material_id ?? '')) continue;
        const key = { region, account_id: row.account_id, key_id: row.key_id };
        // It may have been finished, and used, since it was read.
        if ((await this.#table.select(key))?.version === row.version) this.#table.broken(key);
      }
      const unused = abandoned.filter((row) => !used.has(row.pending_material_id ?? ''));
      yield* this.#open(
        region,
        unused,
        (row) => (row.status === 'creating' || row.pending_material_id !== null) && concerned(row),
      );
      const last = page.at(-1);
      if (last === undefined || page.length < pageIds) return;
      after = last;
      await this.#otherWork();
    }
  }

  async *materials(region: string): AsyncGenerator<readonly MaterialPlace[]> {
    for (let after = ''; ;) {
      const page = await this.#backingKeys
        .selectFrom('backing_keys')
        .select(['cka_id', 'key_store'])
        .where('region', '=', region)
        .where('cka_id', '>', after)
        .orderBy('cka_id')
        .limit(pageIds)
        .execute();
      yield page.map((row) => ({ ckaId: row.cka_id, keyStore: row.key_store ?? undefined }));
      after = page.at(-1)?.cka_id ?? '';
      if (page.length < pageIds) return;
      await this.#otherWork();
    }
  }

  async named(keyStore: KeyStoreRef, ckaIds: readonly string[]): Promise<ReadonlySet<string>> {
    const named = new Set<string>();
    for (const some of chunks(ckaIds, pageIds)) {
      for (const { cka_id } of await this.#owning(keyStore, some)) named.add(cka_id);
      await this.#otherWork();
    }
    return named;
  }

  async *owners(keyStore: KeyStoreRef, ckaIds: Iterable<string>): AsyncGenerator<Key> {
    for (const some of chunks(ckaIds, pageIds)) {
      const owning = await this.#owning(keyStore, some);
      const places = new Map(owning.map((row) => [`${row.account_id}/${row.key_id}`, row]));
      yield* this.#open(keyStore.region, [...places.values()], isIn(keyStore));
    }
  }

  async *withoutMaterial(keyStore: KeyStoreRef): AsyncGenerator<Key> {
    const { region } = keyStore;
    let after: Place = { account_id: '', key_id: '' };
    for (;;) {
      const page = await this.#places(region, after).where(lacksMaterial).execute();
      yield* this.#open(region, page.filter(isIn(keyStore)), (row) => row.material_missing === 1);
      const last = page.at(-1);
      if (last === undefined || page.length < pageIds) return;
      await this.#otherWork();
      after = last;
    }
  }

  async *checkSeals(region: string): AsyncGenerator<number> {
    let after: Place = { account_id: '', key_id: '' };
    for (;;) {
      const page = await this.#places(region, after).execute();
      let [checked, bytes] = [0, 0];
      for await (const rows of this.#lots(region, page)) {
        // Together: each alone would wake the token's host, and then this process, for itself.
        await Promise.all(rows.map((row) => this.#table.check(row)));
        checked += rows.length;
        bytes += rows.reduce((sum, row) => sum + textLength(row), 0);
        if (checked < sliceRows && bytes < sliceBytes) continue;
        yield checked;
        [checked, bytes] = [0, 0];
      }
      yield checked;
      const last = page.at(-1);
      if (last === undefined || page.length < pageIds) return;
      after = last;
    }
  }

  /** The rows as they are now, as many at a time as their seals are asked for together. */
  async *#lots(region: string, places: readonly Place[]): AsyncGenerator<readonly KeyRow[]> {
    let [lot, bytes] = [[] as KeyRow[], 0];
    for (const { account_id, key_id } of places) {
      const row = await this.#table.select({ region, account_id, key_id });
      if (row === undefined) continue;
      lot.push(row);
      bytes += textLength(row);
      if (lot.length < lotRows && bytes < lotBytes) continue;
      yield lot;
      [lot, bytes] = [[], 0];
    }
    if (lot.length > 0) yield lot;
  }

  #otherWork(): Promise<void> {
    return new Promise((resolve) => this.#context.timers.soon(resolve));
  }

  get #keys() {
    return this.#context.db.withTables<KeyTables>();
  }

  get #backingKeys() {
    return this.#context.db.withTables<BackingKeyTables>();
  }

  #places(region: string, after: Place) {
    return this.#keys
      .selectFrom('keys')
      .select(['account_id', 'key_id', 'key_store'])
      .where('region', '=', region)
      .where(sql<boolean>`(account_id, key_id) > (${after.account_id}, ${after.key_id})`)
      .orderBy('account_id')
      .orderBy('key_id')
      .limit(pageIds);
  }

  async #owning(
    keyStore: KeyStoreRef,
    ckaIds: readonly string[],
  ): Promise<readonly (Place & { readonly cka_id: string })[]> {
    const rows = await this.#backingKeys
      .selectFrom('backing_keys')
      .select(['cka_id', 'account_id', 'key_id', 'key_store'])
      .where('region', '=', keyStore.region)
      .where('cka_id', 'in', ckaIds)
      .execute();
    return rows.filter(isIn(keyStore));
  }

  /** Those of the rows for which `concerned` still holds when they are read. */
  async *#open(region: string, places: readonly Place[], concerned: (row: KeyRow) => boolean): AsyncGenerator<Key> {
    for (const some of chunks(places, rowsAtOnce)) {
      const rows: KeyRow[] = [];
      for (const { account_id, key_id } of some) {
        const row = await this.#table.select({ region, account_id, key_id });
        if (row !== undefined && concerned(row)) rows.push(row);
      }
      yield* await this.#table.openSound(rows);
      await this.#otherWork();
    }
  }

  async #used(materialIds: readonly string[]): Promise<ReadonlySet<string>> {
    if (materialIds.length === 0) return new Set();
    const rows = await this.#context.db
      .selectFrom('usage')
      .select('material_id')
      .where('material_id', 'in', materialIds)
      .execute();
    return new Set(rows.map((row) => row.material_id));
  }
}

const textLength = (row: KeyRow): number => row.policy.length + row.description.length + row.tags.length;

function* chunks<T>(items: Iterable<T>, size: number): Generator<T[]> {
  let chunk: T[] = [];
  for (const item of items) {
    chunk.push(item);
    if (chunk.length < size) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}
