// Row seals (docs/formats/row-seal.md): HMAC-SHA-256 by the token over an injective encoding of a row. No row is used before its seal matched.
import { timingSafeEqual } from 'node:crypto';
import { BridgeError } from '../kernel/errors.js';
import { prefixed } from '../kernel/length-prefix.js';
import { defaultKeyStore } from '../model/key-store.js';
import { theDaemon, type Tokens } from '../ports/token.js';
import type { DaemonKeys } from './daemon-keys.js';
import type { AnyColumns, Columns, Covered, RowOf, SealedRow } from './table.js';

const domain = Buffer.from('hsm-bridge/row/v1\0');
const kindCodes = { text: 1, integer: 2, blob: 3 } as const;
const failureLimit = 100;

/**
 * Domain, table, then each column that is not null: name, kind, value, all behind 32-bit lengths. Equal bytes mean equal rows.
 * A null column is left out, so that a column added later does not change the seals of older rows.
 * TypeError when a value is not of its column's kind.
 */
export function encodeRow<C extends AnyColumns>(table: Pick<Covered<C>, 'name' | 'columns'>, row: RowOf<C>): Buffer {
  const values: Readonly<Record<string, unknown>> = row;
  const parts: Buffer[] = [domain, prefixed(Buffer.from(table.name))];
  for (const [name, column] of Object.entries(table.columns)) {
    const value = values[name];
    if (value === null) continue;
    const kind = kindOf(column);
    parts.push(prefixed(Buffer.from(name)), Buffer.of(kindCodes[kind]), prefixed(valueBytes(name, kind, value)));
  }
  return Buffer.concat(parts);
}

type Kind = keyof typeof kindCodes;

const kindOf = (column: string): Kind => (column.endsWith('?') ? column.slice(0, -1) : column) as Kind;

function valueBytes(name: string, kind: Kind, value: unknown): Buffer {
  if (kind === 'text' && typeof value === 'string') return Buffer.from(value);
  if (kind === 'blob' && Buffer.isBuffer(value)) return value;
  if (kind === 'integer' && typeof value === 'number' && Number.isSafeInteger(value)) {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigInt64BE(BigInt(value));
    return bytes;
  }
  throw new TypeError(`column ${name} takes ${kind}, not ${typeof value}`);
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
  async seal<C extends Columns>(
    region: string,
    table: Pick<Covered<C>, 'name' | 'columns'>,
    row: RowOf<C>,
  ): Promise<SealedRow<C>> {
    const bytes = encodeRow(table, row);
    await this.#daemonKeys.ensure(defaultKeyStore(region));
    return { ...row, seal: await this.#tokens.of(defaultKeyStore(region), theDaemon).macRow(bytes) };
  }

  /** False when `seal` is not that of `bytes`; fails when the token could not be asked. */
  async matches(region: string, bytes: Buffer, seal: Buffer): Promise<boolean> {
    const expected = await this.#tokens.of(defaultKeyStore(region), theDaemon).macRow(bytes);
    return expected.length === seal.length && timingSafeEqual(expected, seal);
  }

  /** Why a row whose seal does not match is not used: it is broken, unless nothing of this Region can match. */
  async refusal(region: string, table: string, id: string): Promise<BridgeError> {
    const wrong = await this.#daemonKeys.wrongToken(defaultKeyStore(region));
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
