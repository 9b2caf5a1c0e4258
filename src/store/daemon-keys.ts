// The daemon's own keys in each token: made exactly once, before the first seal or the first key, and never beside rows that other keys have
// sealed. Those of a Region's default token do the sealing; those of another only tell it from every other token.
import { hash } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Clock } from '../kernel/clock.js';
import { BridgeError } from '../kernel/errors.js';
import type { Random } from '../kernel/random.js';
import { Secret } from '../kernel/secret.js';
import type { Timers } from '../kernel/timers.js';
import { isDefault, keyStoreName, type KeyStoreRef } from '../model/key-store.js';
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
 * A row in `tokens` says that a key store's keys exist: then nothing is ever made. Without it they are made first and the row is
 * written after; a crash in between leaves keys without a row, which are taken over only when no row was sealed with them, or is of the key store.
 */
export class DaemonKeys {
  readonly #options: DaemonKeysOptions;
  /** By the key store's name, as the table `tokens` has it. */
  readonly #ensured = new Map<string, Promise<void>>();
  readonly #holder: string;

  constructor(options: DaemonKeysOptions) {
    this.#options = options;
    this.#holder = options.random.uuid();
  }

  /** Fails with what the token says, or with KMSInternalException when its keys are not the ones this store was sealed with. */
  ensure(keyStore: KeyStoreRef): Promise<void> {
    const name = keyStoreName(keyStore);
    const known = this.#ensured.get(name);
    if (known !== undefined) return known;
    const ensuring = this.#ensure(keyStore, name);
    this.#ensured.set(name, ensuring);
    ensuring.catch(() => this.#ensured.delete(name));
    return ensuring;
  }

  async #ensure(keyStore: KeyStoreRef, name: string): Promise<void> {
    const lease = `daemon-keys:${name}`;
    for (let waitedMs = 0; waitedMs <= leaseMs; waitedMs += askAgainMs) {
      if (await this.#recorded(name)) {
        // What another daemon's token sealed or made here could not be used when the right one is back.
        const wrong = await this.wrongToken(keyStore);
        if (wrong !== undefined) throw new BridgeError('KMSInternalException', undefined, { cause: new Error(wrong) });
        return;
      }
      const held = await this.#options.leases.take(lease, this.#holder, leaseMs);
      if (held !== undefined) {
        try {
          // The one that had the lease before may have finished since the row was looked for.
          if (!(await this.#recorded(name))) await this.#create(keyStore, name, held);
          return;
        } finally {
          await this.#options.leases.release(held);
        }
      }
      await this.#options.timers.sleep(askAgainMs);
    }
    throw new BridgeError('KMSInternalException', `The daemon's keys for ${name} are still being made.`);
  }

  /** `Store.wrongToken`. Not by the serial: a replaced or cloned token may hold the same keys under another. */
  async wrongToken(keyStore: KeyStoreRef): Promise<string | undefined> {
    const name = keyStoreName(keyStore);
    const row = await this.#options.db.selectFrom('tokens').selectAll().where('region', '=', name).executeTakeFirst();
    if (row === undefined || (await this.#sealsLike(keyStore, row.seal_check))) return undefined;
    const which = isDefault(keyStore) ? "the keys that sealed this daemon's database" : "the daemon's own keys";
    return `the token of ${name} does not hold ${which}; those were made in the token with serial ${row.serial}`;
  }

  async #sealsLike(keyStore: KeyStoreRef, expected: Buffer): Promise<boolean> {
    try {
      return (await this.#options.tokens.of(keyStore, theDaemon).macRow(probe)).equals(expected);
    } catch (error) {
      if (error instanceof DaemonKeyMissing) return false;
      throw error;
    }
  }

  async #recorded(name: string): Promise<boolean> {
    const row = await this.#options.db
      .selectFrom('tokens')
      .select('region')
      .where('region', '=', name)
      .executeTakeFirst();
    return row !== undefined;
  }

  async #create(keyStore: KeyStoreRef, name: string, lease: Lease): Promise<void> {
    const token = this.#options.tokens.of(keyStore, theDaemon);
    const { serial } = await token.info();
    try {
      await token.createDaemonKeys();
    } catch (error) {
      if (!(await bothKeysWork(token))) throw error;
      if (await this.#hasRows(keyStore)) {
        throw new BridgeError(
          'KMSInternalException',
          `The token of ${name} holds daemon keys, and the store has rows of it, but no record that they belong together.`,
          { cause: error },
        );
      }
    }
    const row = {
      region: name,
      serial,
      daemon_keys_since_ms: this.#options.clock.now(),
      seal_check: await token.macRow(probe),
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

  /** Sealed by its token, or of keys in it. */
  async #hasRows(keyStore: KeyStoreRef): Promise<boolean> {
    const { region } = keyStore;
    const { db, tables, defaultRegion } = this.#options;
    if (!isDefault(keyStore)) {
      const row = await (db as unknown as Kysely<AnyTables>)
        .selectFrom('keys')
        .select((eb) => eb.lit(1).as('found'))
        .where('region', '=', region)
        .where('key_store', '=', keyStore.keyStore)
        .limit(1)
        .executeTakeFirst();
      return row !== undefined;
    }
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
    await token.macRow(probe);
    const sealed = await token.encrypt(daemonKeys.secrets, probe, new Secret(probe));
    return (await token.decrypt(daemonKeys.secrets, probe, sealed)).reveal().equals(probe);
  } catch {
    return false;
  }
}
