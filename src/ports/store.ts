// The state behind the line: keys, aliases, credentials. No SQL is visible here. A read may come from a cache, and sees each change that
// any gateway of this host had finished when it was asked for; what another hand changes in the database, within a second. "Absent" is
// undefined; "could not look" is an error.
// Rows that decide access are sealed under the token; a row whose seal does not match is never returned: the call fails with
// BridgeError KMSInternal ("The stored record failed its integrity check.") and `Store.integrityFailures` names it.
import type { Alias, Key, KeyRef } from '../model/key.js';
import type { KeyStoreRef } from '../model/key-store.js';
import type { Credential } from '../model/principal.js';

export interface AccountScope {
  readonly region: string;
  readonly accountId: string;
}

/** `after` is the last item of the page before; items come in the order of their names. `limit` ≥ 1. */
export interface Page {
  readonly after: string | undefined;
  readonly limit: number;
}

/** What a backing key's row says, unsealed, of where its material is. */
export interface MaterialPlace {
  /** 32 hex digits. */
  readonly ckaId: string;
  readonly keyStore: string | undefined;
}

export interface KeyRowStore {
  find(ref: KeyRef): Promise<Key | undefined>;
  /** The key that owns the backing key with this CKA_ID (32 hex digits), in this Region; with an account: only when it is that account's. */
  findByMaterial(region: string, ckaId: string, accountId?: string): Promise<Key | undefined>;
  /** Key ids, ascending, without keys that are being created. */
  list(scope: AccountScope, page: Page): Promise<readonly string[]>;
  count(scope: AccountScope): Promise<number>;
  /** Durable when it resolves. */
  insert(key: Key): Promise<void>;
  /**
   * Reads the row afresh, checks its seal, writes what `change` makes of it and returns that, durable and visible in this process.
   * What `change` throws goes to the caller and nothing is written; it may be called again when another writer came between.
   * NotFoundException when the row is gone. With a lease: KMSInternalException, and nothing is written, unless it is still held.
   */
  update(ref: KeyRef, change: (key: Key) => Key, lease?: Lease): Promise<Key>;
  /** Removes the key and its aliases. No error when it is gone already. With a lease as above. */
  remove(ref: KeyRef, lease?: Lease): Promise<void>;
  /** The same for a key that is being created. KMSInternalException, and nothing is removed, when another gateway has gone on with it. */
  removeUnfinished(key: Key, lease?: Lease): Promise<void>;
  /**
   * Keys of any account in this key store whose deletion is due or has begun, oldest first. As in all that follows, rows come one after
   * the other, as they are when it is their turn, and one with a broken seal is noted and left out.
   */
  due(keyStore: KeyStoreRef, nowMs: number): AsyncIterable<Key>;
  /**
   * Keys of this key store with `pendingMaterialId` set or in status creating: all, or those whose gateway's life is over. A row that
   * announces material that has encrypted is an older copy of a finished one: it counts as broken.
   */
  unsettled(keyStore: KeyStoreRef, which: 'all' | 'abandoned'): AsyncIterable<Key>;
  /** All backing keys of this Region, in the order of their CKA_IDs, in pages, by an index that no seal covers. */
  materials(region: string): AsyncIterable<readonly MaterialPlace[]>;
  /** Those of the CKA_IDs that this index has in the key store. */
  named(keyStore: KeyStoreRef, ckaIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** The keys of the key store that it names for these CKA_IDs; one may come more than once. */
  owners(keyStore: KeyStoreRef, ckaIds: Iterable<string>): AsyncIterable<Key>;
  /** Keys of this key store with `materialMissing` set. */
  withoutMaterial(keyStore: KeyStoreRef): AsyncIterable<Key>;
  /** Checks the seal of every key of this Region in small slices; gives the number of rows of each. The caller paces it. */
  checkSeals(region: string): AsyncIterable<number>;
}

export interface AliasStore {
  find(scope: AccountScope, aliasName: string): Promise<Alias | undefined>;
  /** Ascending by name; only those of `keyId` when it is given. */
  list(scope: AccountScope, keyId: string | undefined, page: Page): Promise<readonly Alias[]>;
  countOf(ref: KeyRef): Promise<number>;
  /** AlreadyExistsException (`An alias with the name ARN already exists`) when the name is taken. */
  insert(alias: Alias): Promise<void>;
  /**
   * Points an existing alias at another key. NotFoundException (`Alias ARN is not found.`) when it is gone, KMSInternalException when it
   * points at another key than `seenKeyId`, for which the caller was authorized: asked again, it is authorized again.
   */
  update(alias: Alias, seenKeyId: string): Promise<void>;
  /** As above. */
  remove(scope: AccountScope, aliasName: string, seenKeyId: string): Promise<void>;
}

/**
 * What a caller names that belongs to another account, `asker` being the caller's own. Whether it is there does not show in the work:
 * where there is none, a stand-in is looked up, checked and returned, in status creating, with a policy that lets nobody in. Neither
 * does who else looked: each asker's first look since the last change asks database and token, whatever is cached for others.
 */
export interface ForeignStore {
  key(asker: string, ref: KeyRef): Promise<Key | undefined>;
  keyOfAlias(asker: string, scope: AccountScope, aliasName: string): Promise<Key | undefined>;
  keyOfMaterial(asker: string, region: string, ckaId: string): Promise<Key | undefined>;
}

export interface CredentialStore {
  find(accessKeyId: string): Promise<Credential | undefined>;
  /** The oldest root access key of an account. */
  findRoot(accountId: string): Promise<Credential | undefined>;
  insert(credential: Credential): Promise<void>;
}

/** Messages a backing key has encrypted, counted durably in blocks (NIST SP 800-38D §8.3: 2^32 random IVs a key). */
export interface UsageStore {
  /** Adds `count` messages to the key's total, durable when it resolves, and returns the total. */
  reserve(materialId: string, count: number): Promise<number>;
}

/** What `take` gave; `token` is another for each holder, so that a write can be refused when its writer slept past the lease. */
export interface Lease {
  readonly name: string;
  readonly holder: string;
  readonly token: number;
}

/** Work that one process at a time may do, over all gateways and hosts. Time is the database's. */
export interface LeaseStore {
  /** Undefined unless `holder` has the lease until now + `ttlMs`. The one that has it already gets it again, as the same. */
  take(name: string, holder: string, ttlMs: number): Promise<Lease | undefined>;
}

export interface Place {
  /** The home of a daemon, among all that share the store. */
  readonly host: string;
  readonly lane: number;
  /** How many lanes the daemon has now. */
  readonly lanes: number;
}

/** A gateway's life, from its start to its end. */
export interface LifeStore {
  /**
   * Begins this gateway's, and gives its id. Earlier lives of the lane, which has one process at a time, are over from then on, and their
   * leases free; lane 0 says so of lanes that the daemon has no more. Lives of other hosts are over after a minute without a sign.
   * A database that cannot be written is no failure: the row comes with the first that names this life.
   */
  begin(place: Place): Promise<string>;
  /** A sign of life. False: others hold it to be over. */
  beat(): Promise<boolean>;
}

/** Since the start. */
export interface CacheCounts {
  /** Rows, and times everything, that were forgotten for others' commits. */
  readonly rows: number;
  readonly all: number;
  /** How often the database was asked for what was not in memory. */
  readonly reads: number;
}

export interface Store {
  readonly keys: KeyRowStore;
  readonly aliases: AliasStore;
  readonly foreign: ForeignStore;
  readonly credentials: CredentialStore;
  readonly usage: UsageStore;
  readonly leases: LeaseStore;
  readonly lives: LifeStore;
  /** Why every call fails: somebody changed what the tables are. Undefined while all is well. */
  fault(): string | undefined;
  /** Rows found with a broken seal since the start, `table:id`, at most 100. */
  integrityFailures(): readonly string[];
  cache(): CacheCounts;
  /** What is wrong when the token does not hold the keys that the daemon made in it for itself; undefined when nothing is. */
  wrongToken(keyStore: KeyStoreRef): Promise<string | undefined>;
  close(): Promise<void>;
}
