// What a sealed table is, said once: its columns, its key, whose token seals it and what a row means. Seals, caches, the removal of a key
// with all that is its own, and the question whether a Region has sealed rows follow from it (sealed-table.ts, daemon-keys.ts).
import type { Tokens } from '../ports/token.js';

type ColumnKind = 'text' | 'integer' | 'blob';

/** With `?` it may be null, and is then left out of the seal: a column that is added later leaves the seals of older rows as they are. */
export type Column = ColumnKind | `${ColumnKind}?`;

export type AnyColumns = Readonly<Record<string, Column>>;

/** A row has its place in time: which of two copies is the older one (newest-versions.ts). */
export interface Columns {
  readonly [name: string]: Column;
  readonly version: 'integer';
  readonly created_at_ms: 'integer';
}

interface Values {
  readonly text: string;
  readonly integer: number;
  readonly blob: Buffer;
}

type ValueOf<K extends Column> = K extends `${infer B extends ColumnKind}?`
  ? Values[B] | null
  : K extends ColumnKind
    ? Values[K]
    : never;

/** Beside a row's columns: the rows that are sealed with it. */
export const parts: unique symbol = Symbol('parts');

/** A row as its seal covers it. */
export type RowOf<C extends AnyColumns> = { readonly [N in keyof C]: ValueOf<C[N]> } & {
  readonly [parts]?: readonly RowOf<AnyColumns>[];
};
export type SealedRow<C extends Columns> = RowOf<C> & { readonly seal: Buffer };

/** What a row may need beside itself to be understood. */
export interface World {
  readonly tokens: Tokens;
  /** Its token also seals what belongs to no Region. */
  readonly defaultRegion: string;
}

/** What every table has whose rows a seal covers. */
export interface Covered<C extends AnyColumns = AnyColumns, K extends keyof C & string = string> {
  readonly name: string;
  /** All that the seal covers, in the order in which it is encoded (docs/formats/row-seal.md). New columns go to the end. */
  readonly columns: C;
  /** The primary key; its values, with `/` between, name the row. */
  readonly key: readonly K[];
}

/**
 * A table without seals of its own: each of its rows belongs to one of a sealed table, its owner, which the columns of that one's key name,
 * and is sealed with it (parts.ts).
 */
export interface PartTable<C extends AnyColumns = AnyColumns, K extends keyof C & string = string> extends Covered<
  C,
  K
> {
  /** By this column come the rows of one owner, no two of which have the same. */
  readonly order: keyof C & string;
}

export interface Described<
  C extends Columns = Columns,
  K extends keyof C & string = string,
  V extends object = object,
> extends Covered<C, K> {
  /** The Region whose token seals the row: that in its column `region`, or the default one. */
  readonly sealedIn: 'its Region' | 'default Region';
  /** The row belongs to the key that its columns region, account_id and key_id name, and goes with it. */
  readonly ofKey: boolean;
  /** What goes with each row, and the digest of it (parts.ts) that the row is sealed with. TypeError when it has none. */
  readonly parts?: { readonly table: PartTable; digestIn(row: RowOf<C>): Buffer };
  /**
   * For rows whose seal matched: their content is this daemon's own. What it gives is frozen, since all requests share it; undefined: the row
   * is broken all the same.
   */
  fromRow(row: RowOf<C>, world: World): V | undefined | Promise<V | undefined>;
  /** Bytes that a value holds in memory. */
  bytesOf(value: V): number;
}

/** As it is, and as narrow as it was written. */
export const describe = <const C extends Columns, const K extends keyof C & string, V extends object>(
  description: Described<C, K, V>,
): Described<C, K, V> => description;
