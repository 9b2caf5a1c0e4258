// The rows of one sealed table, turned into what they mean after their seal matched.
import { hash } from 'node:crypto';
import { use, type BoundedMemory, type Kept } from '../kernel/bounded-memory.js';
import { BridgeError } from '../kernel/errors.js';
import { prefixed } from '../kernel/length-prefix.js';
import { maxRowBytes } from './by-key.js';
import { NewestVersions } from './newest-versions.js';
import { hasItsParts } from './parts.js';
import { BrokenSealError, encodeRow, type RowSeals } from './seal.js';
import type { Columns, Described, RowOf, SealedRow, World } from './table.js';

/** A long list must not fill the token's queue. */
const tokenCallsAtOnce = 32;

interface Opened<V extends object> {
  /** SHA-256 of the row and its seal. */
  readonly digest: string;
  readonly value: V;
  kept: Kept | undefined;
}

interface SealedRowsOptions<C extends Columns, V extends object> {
  readonly seals: RowSeals;
  readonly table: Described<C, keyof C & string, V>;
  readonly world: World;
  /** The row's id, and the Region whose token seals it. */
  readonly identify: (row: RowOf<C>) => { readonly id: string; readonly region: string };
  /** The same row as it is in the database now. */
  readonly reread: (row: RowOf<C>) => Promise<SealedRow<C> | undefined>;
  readonly memory: BoundedMemory;
}

/** What one row adds to its value in the memory of checked seals. */
const openedBytes = 700;

/**
 * Turns rows of one table into what they mean, after their seal matched. Remembers by content: the same bytes under the same seal
 * are not sent to the token again and give the identical object, so a cache that was emptied fills cheaply. A row older than one that
 * this process has seen under the same id is broken, whatever its seal.
 */
export class SealedRows<C extends Columns, V extends object> {
  readonly #options: SealedRowsOptions<C, V>;
  readonly #opened = new Map<string, Opened<V>>();
  readonly #newest = new NewestVersions();

  constructor(options: SealedRowsOptions<C, V>) {
    this.#options = options;
  }

  /** Fails with the integrity error of `RowSeals.broken` when the seal does not match. */
  open(row: SealedRow<C>): Promise<V> {
    return this.#open(row, false);
  }

  /** As `open`, and the token is asked also for what is remembered: the work does not depend on what opened the row before. */
  openAfresh(row: SealedRow<C>): Promise<V> {
    return this.#open(row, true);
  }

  /** Checks the seal alone, and remembers nothing. A broken row is noted; fails when the token could not be asked. */
  async check(row: SealedRow<C>): Promise<void> {
    const { seals, table, identify } = this.#options;
    const { id, region } = identify(row);
    const bytes = this.#encode(row);
    if (bytes === undefined) seals.broken(table.name, id);
    if (bytes === undefined) return;
    const refusal = (await seals.matches(region, bytes, row.seal))
      ? this.#unsound(row, id)
      : await seals.refusal(region, table.name, id);
    if (refusal !== undefined && !(refusal instanceof BrokenSealError)) throw refusal;
  }

  /** This process has committed `row`: from now on no older one is believed. */
  wrote(row: RowOf<C>): void {
    this.#newest.note(this.#options.identify(row).id, row);
  }

  /** This process has removed the row: it is not believed when it comes back. */
  removed(id: string, createdAtMs: number): void {
    this.#newest.noteRemoved(id, createdAtMs);
  }

  async #open(row: SealedRow<C>, afresh: boolean): Promise<V> {
    const { seals, table, world, identify } = this.#options;
    const { id, region } = identify(row);
    const bytes = this.#encode(row);
    if (bytes === undefined) throw seals.broken(table.name, id);
    if (this.#newest.isOlder(id, row)) return this.#openNewer(row, id, afresh);
    const digest = hash('sha256', Buffer.concat([prefixed(row.seal), bytes]), 'base64');
    const known = this.#opened.get(id);
    const same = known?.digest === digest;
    if (same) use(known.kept);
    if (!same || afresh) {
      if (!(await seals.matches(region, bytes, row.seal))) throw await seals.refusal(region, table.name, id);
      if (!this.#newest.isOlder(id, row)) this.#newest.note(id, row);
    }
    const unsound = this.#unsound(row, id);
    if (unsound !== undefined) throw unsound;
    if (same) return known.value;
    const value = await table.fromRow(row, world);
    if (value === undefined) throw seals.broken(table.name, id);
    this.#remember(id, digest, value);
    return value;
  }

  /** It may have been replaced since it was read: what is there now counts. */
  async #openNewer(row: SealedRow<C>, id: string, afresh: boolean): Promise<V> {
    const { seals, table, reread } = this.#options;
    const now = await reread(row);
    if (now === undefined) throw new BridgeError('KMSInternalException');
    if (this.#newest.isOlder(id, now)) throw seals.broken(table.name, id);
    return this.#open(now, afresh);
  }

  /** Of a row whose seal matches: notes it as broken, and gives the error, when its parts are not those that it is sealed with. */
  #unsound(row: SealedRow<C>, id: string): BridgeError | undefined {
    const { seals, table } = this.#options;
    if (orTypeError(() => hasItsParts(table, row)) === true) return undefined;
    return seals.broken(table.parts?.table.name ?? table.name, id);
  }

  #encode(row: SealedRow<C>): Buffer | undefined {
    const bytes = orTypeError(() => encodeRow(this.#options.table, row));
    return bytes === undefined || bytes.length > maxRowBytes || !Buffer.isBuffer(row.seal) ? undefined : bytes;
  }

  /** All of them, in order; when one is broken the others are still checked, so that each broken one is known. */
  async openAll(rows: readonly SealedRow<C>[]): Promise<V[]> {
    const results = await this.#settle(rows);
    return results.map(valueOf);
  }

  /** Those whose seal matches: for work that must go on beside a broken row, which is noted and never acted on. */
  async openSound(rows: readonly SealedRow<C>[]): Promise<V[]> {
    const results = await this.#settle(rows);
    return results
      .filter((result) => !(result.status === 'rejected' && result.reason instanceof BrokenSealError))
      .map(valueOf);
  }

  async #settle(rows: readonly SealedRow<C>[]): Promise<readonly PromiseSettledResult<V>[]> {
    const results: PromiseSettledResult<V>[] = [];
    for (let start = 0; start < rows.length; start += tokenCallsAtOnce) {
      const some = rows.slice(start, start + tokenCallsAtOnce);
      results.push(...(await Promise.allSettled(some.map((row) => this.open(row)))));
    }
    return results;
  }

  #remember(id: string, digest: string, value: V): void {
    const { memory, table } = this.#options;
    const before = this.#opened.get(id);
    if (before !== undefined) memory.release(before.value, this);
    const opened: Opened<V> = { digest, value, kept: undefined };
    this.#opened.set(id, opened);
    opened.kept = memory.keep(value, table.bytesOf(value), this, openedBytes + 2 * id.length, () => {
      if (this.#opened.get(id) === opened) this.#opened.delete(id);
    });
  }
}

function valueOf<V>(result: PromiseSettledResult<V>): V {
  if (result.status === 'rejected') throw result.reason;
  return result.value;
}

/** A value of another type can only have come from another hand: it counts as a broken seal. */
function orTypeError<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
