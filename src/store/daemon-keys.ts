// The daemon's own keys in each Region's default token: made exactly once, before the first seal, and never beside rows that other keys have sealed.
import { hash } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Clock } from '../kernel/clock.js';
import { BridgeError } from '../kernel/errors.js';
import type { Random } from '../kernel/random.js';
import { Secret } from '../kernel/secret.js';
import type { Timers } from '../kernel/timers.js';
import { defaultKeyStore } from '../model/key-store.js';
import type { Lease } from '../ports/store.js';
import { DaemonKeyMissing, daemonKeys, theDaemon, type Token, type Tokens } from '../ports/token.js';
import type { LeaseRows } from './leases.js';
import type { PlainTables } from './plain-tables.js';
import type { AnyTables } from './read-back.js';
import type { Described } from './table.js';
import type { Writes } from './writes.js';

/** Longer than a token call may take; when it still does, both end with the keys of the first. */
const leaseMs = 60_000;
const askAgainMs = 50;
const probe = hash('sha256', 'hsm-bridge/daemon-key-probe', 'buffer');

export interface DaemonKeysOptions {
  readonly db: Kysely<PlainTables>;
  readonly writes: Writes;
  /** All that are sealed. */
  readonly tables: readonly Pick<Described, 'name' | 'sealedIn' | 'parts'>[];
  readonly tokens: Tokens;
  readonly leases: LeaseRows;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** Its token also keeps the credentials. */
  readonly defaultRegion: string;
}

/**
 * A row in `tokens` says that the Region's keys exist: then nothing is ever made. Without it they are made first and the row is
 * written after; a crash in between leaves keys without a row, which are taken over only when no row was sealed in the Region.
 */
export class DaemonKeys {
  readonly #options: DaemonKeysOptions;
  readonly #ensured = new Map<string, Promise<void>>();
  readonly #holder: string;

  constructor(options: DaemonKeysOptions) {
    this.#options = options;
    this.#holder = options.random.uuid();
  }

  /** Fails with what the token says, or with KMSInternalException when its keys are not the ones this store was sealed with. */
  ensure(region: string): Promise<void> {
    const known = this.#ensured.get(region);
    if (known !== undefined) return known;
    const ensuring = this.#ensure(region);
    this.#ensured.set(region, ensuring);
    ensuring.catch(() => this.#ensured.delete(region));
    return ensuring;
  }

  async #ensure(region: string): Promise<void> {
    const lease = `daemon-keys:${region}`;
    for (let waitedMs = 0; waitedMs <= leaseMs; waitedMs += askAgainMs) {
      if (await this.#recorded(region)) {
        // What another daemon's token sealed here could not be read when the right one is back.
        const wrong = await this.wrongToken(region);
        if (wrong !== undefined) throw new BridgeError('KMSInternalException', undefined, { cause: new Error(wrong) });
        return;
      }
      const held = await this.#options.leases.take(lease, this.#holder, leaseMs);
      if (held !== undefined) {
        try {
          // The one that had the lease before may have finished since the row was looked for.
          if (!(await this.#recorded(region))) await this.#create(region, held);
          return;
        } finally {
          await this.#options.leases.release(held);
        }
      }
      await this.#options.timers.sleep(askAgainMs);
    }
    throw new BridgeError('KMSInternalException', `The daemon's keys for ${region} are still being made.`);
  }

  /** `Store.wrongToken`. Not by the serial: a replaced or cloned token may hold the same keys under another. */
  async wrongToken(region: string): Promise<string | undefined> {
    const row = await this.#options.db.selectFrom('tokens').selectAll().where('region', '=', region).executeTakeFirst();
    if (row === undefined || (await this.#sealsLike(region, row.seal_check))) return undefined;
    return `the token of ${region} does not hold the keys that sealed this daemon's database; those were made in the token with serial ${row.serial}`;
  }

  async #sealsLike(region: string, expected: Buffer): Promise<boolean> {
    try {
      return (await this.#options.tokens.of(defaultKeyStore(region), theDaemon).sealRow(probe)).equals(expected);
    } catch (error) {
      if (error instanceof DaemonKeyMissing) return false;
      throw error;
    }
  }

  async #recorded(region: string): Promise<boolean> {
    const row = await this.#options.db
      .selectFrom('tokens')
      .select('region')
      .where('region', '=', region)
      .executeTakeFirst();
    return row !== undefined;
  }

  async #create(region: string, lease: Lease): Promise<void> {
    const token = this.#options.tokens.of(defaultKeyStore(region), theDaemon);
    const { serial } = await token.info();
    try {
      await token.createDaemonKeys();
    } catch (error) {
      if (!(await bothKeysWork(token))) throw error;
      if (await this.#hasSealedRows(region)) {
        throw new BridgeError(
          'KMSInternalException',
          `The token of ${region} holds daemon keys, and the store has sealed rows, but no record that they belong together.`,
          { cause: error },
        );
      }
    }
    const row = {
      region,
      serial,
      daemon_keys_since_ms: this.#options.clock.now(),
      seal_check: await token.sealRow(probe),
    };
    await this.#options.writes.run(async (write) => {
      await this.#options.leases.require(write, lease);
      await write.trx
        .insertInto('tokens')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    });
  }

  async #hasSealedRows(region: string): Promise<boolean> {
    const { db, tables, defaultRegion } = this.#options;
    for (const { name, sealedIn, parts } of tables) {
      if (sealedIn === 'default Region' && region !== defaultRegion) continue;
      for (const table of parts === undefined ? [name] : [name, parts.table.name]) {
        const row = await (db as unknown as Kysely<AnyTables>)
          .selectFrom(table)
          .select((eb) => eb.lit(1).as('found'))
          .$if(sealedIn === 'its Region', (query) => query.where('region', '=', region))
          .limit(1)
          .executeTakeFirst();
        if (row !== undefined) return true;
      }
    }
    return false;
  }
}

/** Whether the failure to make the keys means that they are there already. */
async function bothKeysWork(token: Token): Promise<boolean> {
  try {
    await token.sealRow(probe);
    const sealed = await token.encrypt(daemonKeys.secrets, probe, new Secret(probe));
    return (await token.decrypt(daemonKeys.secrets, probe, sealed)).reveal().equals(probe);
  } catch {
    return false;
  }
}
