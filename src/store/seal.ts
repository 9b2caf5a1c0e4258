// Row seals (docs/formats/row-seal.md): HMAC-SHA-256 by the token over an injective encoding of a row. No row is used before its seal matched.
import { hash, timingSafeEqual } from 'node:crypto';
import { use, type BoundedMemory, type Kept } from '../kernel/bounded-memory.js';
import { BridgeError } from '../kernel/errors.js';
import { theDaemon, type Tokens } from '../ports/token.js';
import type { DaemonKeys } from './daemon-keys.js';
import { NewestVersions } from './newest-versions.js';
import { sealedColumns, type ColumnKind, type SealedColumns, type SealedTable } from './tables.js';

const domain = Buffer.from('hsm-bridge/row/v1\0');
const kindCodes = { text: 1, integer: 2, blob: 3 } as const satisfies Record<ColumnKind, number>;
const failureLimit = 100;
/** No row of ours is larger: a policy, a description and tags at their limits make about 140 KiB. A token client takes more than this. */
const maxRowBytes = 200 * 1024;
/** A long list must not fill the token's queue. */
const tokenCallsAtOnce = 32;

/**
 * Domain, table, then each column that is not null: name, kind, value, all behind 32-bit lengths. Equal bytes mean equal rows.
 * A null column is left out, so that a column added later does not change the seals of older rows.
 * TypeError when a value is not of its column's kind.
 */
export function encodeRow<T extends SealedTable>(table: T, row: SealedColumns<T>): Buffer {
  const columns: Readonly<Record<string, ColumnKind>> = sealedColumns[table];
  const values: Readonly<Record<string, unknown>> = { ...row };
  const parts: Buffer[] = [domain, ...prefixed(Buffer.from(table))];
  for (const [name, kind] of Object.entries(columns)) {
    const value = values[name];
    if (value === null) continue;
    parts.push(...prefixed(Buffer.from(name)), Buffer.of(kindCodes[kind]), ...prefixed(valueBytes(name, kind, value)));
  }
  return Buffer.concat(parts);
}

function valueBytes(name: string, kind: ColumnKind, value: unknown): Buffer {
  if (kind === 'text' && typeof value === 'string') return Buffer.from(value);
  if (kind === 'blob' && Buffer.isBuffer(value)) return value;
  if (kind === 'integer' && typeof value === 'number' && Number.isSafeInteger(value)) {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigInt64BE(BigInt(value));
    return bytes;
  }
  throw new TypeError(`column ${name} takes ${kind}, not ${typeof value}`);
}

function prefixed(bytes: Buffer): [Buffer, Buffer] {
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(bytes.length);
  return [length, bytes];
}

/** Told once of each row that is found broken, as far as they are remembered. */
export type OnBroken = (table: string, id: string) => void;

/** Makes and checks seals, and remembers which rows failed. */
export class RowSeals {
  readonly #tokens: Tokens;
  readonly #daemonKeys: DaemonKeys;
  readonly #onBroken: OnBroken;
  readonly #failures = new Set<string>();

  constructor(tokens: Tokens, daemonKeys: DaemonKeys, onBroken: OnBroken) {
    this.#tokens = tokens;
    this.#daemonKeys = daemonKeys;
    this.#onBroken = onBroken;
  }

  /** The row with its seal. Makes the Region's daemon keys when this is its first. */
  async seal<T extends SealedTable>(
    region: string,
    table: T,
    row: SealedColumns<T>,
  ): Promise<SealedColumns<T> & { seal: Buffer }> {
    const bytes = encodeRow(table, row);
    await this.#daemonKeys.ensure(region);
    return { ...row, seal: await this.#tokens.of(region, theDaemon).sealRow(bytes) };
  }

  /** False when `seal` is not that of `bytes`; fails when the token could not be asked. */
  async matches(region: string, bytes: Buffer, seal: Buffer): Promise<boolean> {
    const expected = await this.#tokens.of(region, theDaemon).sealRow(bytes);
    return expected.length === seal.length && timingSafeEqual(expected, seal);
  }

  /** Why a row whose seal does not match is not used: it is broken, unless nothing of this Region can match. */
  async refusal(region: string, table: string, id: string): Promise<BridgeError> {
    const wrong = await this.#daemonKeys.wrongToken(region);
    return wrong === undefined
      ? this.broken(table, id)
      : new BridgeError('KMSInternalException', undefined, { cause: new Error(wrong) });
  }

  /** Notes the row as broken and gives the error its reader gets. */
  broken(table: string, id: string): BridgeError {
    const name = `${table}:${id}`;
    if (this.#failures.size < failureLimit && !this.#failures.has(name)) {
      this.#failures.add(name);
      this.#onBroken(table, id);
    }
    return new BrokenSealError();
  }

  failures(): readonly string[] {
    return [...this.#failures];
  }
}

export class BrokenSealError extends BridgeError {
  constructor() {
    super('KMSInternalException', 'The stored record failed its integrity check.');
  }
}

interface Opened<V extends object> {
  /** SHA-256 of the row and its seal. */
  readonly digest: string;
  readonly value: V;
  kept: Kept | undefined;
}

type SealedRow<T extends SealedTable> = SealedColumns<T> & { readonly seal: Buffer };

export interface SealedRowsOptions<T extends SealedTable, V extends object> {
  readonly seals: RowSeals;
  readonly table: T;
  readonly identify: (row: SealedColumns<T>) => { readonly id: string; readonly region: string };
  readonly decode: (row: SealedColumns<T>) => V | Promise<V>;
  /** The same row as it is in the database now. */
  readonly reread: (row: SealedColumns<T>) => Promise<SealedRow<T> | undefined>;
  readonly memory: BoundedMemory;
  /** Bytes that a value holds. */
  readonly sizeOf: (value: V) => number;
}

/** What one row adds to its value in the memory of checked seals. */
const openedBytes = 700;

/**
 * Turns rows of one table into what they mean, after their seal matched. Remembers by content: the same bytes under the same seal
 * are not sent to the token again and give the identical object, so a cache that was emptied fills cheaply. A row older than one that
 * this process has seen under the same id is broken, whatever its seal.
 */
export class SealedRows<T extends SealedTable, V extends object> {
  readonly #options: SealedRowsOptions<T, V>;
  readonly #opened = new Map<string, Opened<V>>();
  readonly #newest = new NewestVersions();

  constructor(options: SealedRowsOptions<T, V>) {
    this.#options = options;
  }

  /** Fails with the integrity error of `RowSeals.broken` when the seal does not match. */
  open(row: SealedRow<T>): Promise<V> {
    return this.#open(row, false);
  }

  /** As `open`, and the token is asked also for what is remembered: the work does not depend on who opened the row before. */
  openAfresh(row: SealedRow<T>): Promise<V> {
    return this.#open(row, true);
  }

  /** Checks the seal alone, and remembers nothing. A broken row is noted; fails when the token could not be asked. */
  async check(row: SealedRow<T>): Promise<void> {
    const { seals, table, identify } = this.#options;
    const { id, region } = identify(row);
    const bytes = this.#encode(row);
    if (bytes === undefined) seals.broken(table, id);
    if (bytes === undefined || (await seals.matches(region, bytes, row.seal))) return;
    const refusal = await seals.refusal(region, table, id);
    if (!(refusal instanceof BrokenSealError)) throw refusal;
  }

  /** This process has committed `row`: from now on no older one is believed. */
  wrote(row: SealedColumns<T>): void {
    this.#newest.note(this.#options.identify(row).id, row);
  }

  /** This process has removed the row: it is not believed when it comes back. */
  removed(id: string, createdAtMs: number): void {
    this.#newest.noteRemoved(id, createdAtMs);
  }

  async #open(row: SealedRow<T>, afresh: boolean): Promise<V> {
    const { seals, table, identify, decode } = this.#options;
    const { id, region } = identify(row);
    const bytes = this.#encode(row);
    if (bytes === undefined) throw seals.broken(table, id);
    if (this.#newest.isOlder(id, row)) return this.#openNewer(row, id, afresh);
    const digest = hash('sha256', Buffer.concat([...prefixed(row.seal), bytes]), 'base64');
    const known = this.#opened.get(id);
    const same = known?.digest === digest;
    if (same) use(known.kept);
    if (same && !afresh) return known.value;
    if (!(await seals.matches(region, bytes, row.seal))) throw await seals.refusal(region, table, id);
    if (!this.#newest.isOlder(id, row)) this.#newest.note(id, row);
    if (same) return known.value;
    const value = await decode(row);
    this.#remember(id, digest, value);
    return value;
  }

  /** It may have been replaced since it was read: what is there now counts. */
  async #openNewer(row: SealedRow<T>, id: string, afresh: boolean): Promise<V> {
    const { seals, table, reread } = this.#options;
    const now = await reread(row);
    if (now === undefined) throw new BridgeError('KMSInternalException');
    if (this.#newest.isOlder(id, now)) throw seals.broken(table, id);
    return this.#open(now, afresh);
  }

  #encode(row: SealedRow<T>): Buffer | undefined {
    const bytes = encodedOr(() => encodeRow(this.#options.table, row));
    return bytes === undefined || bytes.length > maxRowBytes || !Buffer.isBuffer(row.seal) ? undefined : bytes;
  }

  /** All of them, in order; when one is broken the others are still checked, so that each broken one is known. */
  async openAll(rows: readonly SealedRow<T>[]): Promise<V[]> {
    const results = await this.#settle(rows);
    return results.map(valueOf);
  }

  /** Those whose seal matches: for work that must go on beside a broken row, which is noted and never acted on. */
  async openSound(rows: readonly SealedRow<T>[]): Promise<V[]> {
    const results = await this.#settle(rows);
    return results
      .filter((result) => !(result.status === 'rejected' && result.reason instanceof BrokenSealError))
      .map(valueOf);
  }

  async #settle(rows: readonly SealedRow<T>[]): Promise<readonly PromiseSettledResult<V>[]> {
    const results: PromiseSettledResult<V>[] = [];
    for (let start = 0; start < rows.length; start += tokenCallsAtOnce) {
      const some = rows.slice(start, start + tokenCallsAtOnce);
      results.push(...(await Promise.allSettled(some.map((row) => this.open(row)))));
    }
    return results;
  }

  #remember(id: string, digest: string, value: V): void {
    const { memory, sizeOf } = this.#options;
    const before = this.#opened.get(id);
    if (before !== undefined) memory.release(before.value, this);
    const opened: Opened<V> = { digest, value, kept: undefined };
    this.#opened.set(id, opened);
    opened.kept = memory.keep(value, sizeOf(value), this, openedBytes + 2 * id.length, () => {
      if (this.#opened.get(id) === opened) this.#opened.delete(id);
    });
  }
}

function valueOf<V>(result: PromiseSettledResult<V>): V {
  if (result.status === 'rejected') throw result.reason;
  return result.value;
}

/** A value of another type can only have come from another hand: it counts as a broken seal. */
function encodedOr(encode: () => Buffer): Buffer | undefined {
  try {
    return encode();
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
