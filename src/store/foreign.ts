// Keys of other accounts, as strangers look for them: the same queries and the same calls of the token whether they are there or not,
// and whoever else uses them.
import type { Key, KeyRef } from '../model/key.js';
import type { AccountScope, ForeignStore } from '../ports/store.js';
import { aliasColumns, aliases as aliasTable, aliasId, type AliasRow, type AliasRows } from './aliases.js';
import { ReadCache } from './cache.js';
import type { StoreContext } from './context.js';
import { keyBytes, keyColumns, keyId, keys as keyTable, type KeyRow } from './key-row.js';
import type { KeyRows } from './keys.js';
import { BrokenSealError } from './seal.js';

interface StandIns {
  readonly key: KeyRow;
  readonly alias: AliasRow;
}

export class ForeignRows implements ForeignStore {
  readonly #context: StoreContext;
  readonly #keys: KeyRows;
  readonly #aliases: AliasRows;
  /** Apart from the other caches, and by asker: a row that its owner or a third account uses must not be quicker for a stranger. */
  readonly #answers: ReadCache<Key>;
  readonly #standIns = new Map<string, Promise<StandIns>>();
  #changes = 0;

  constructor(context: StoreContext, keys: KeyRows, aliases: AliasRows) {
    this.#context = context;
    this.#keys = keys;
    this.#aliases = aliases;
    this.#answers = new ReadCache('foreign', context.memory, keyBytes);
  }

  key(asker: string, ref: KeyRef): Promise<Key | undefined> {
    return this.#once(`${asker}>key:${keyId(ref)}`, ref.region, ({ key }) => this.#keys.findAfresh(ref, key));
  }

  keyOfAlias(asker: string, scope: AccountScope, aliasName: string): Promise<Key | undefined> {
    return this.#once(`${asker}>alias:${aliasId(scope, aliasName)}`, scope.region, async (standIns) => {
      const alias = await this.#aliases.findAfresh(scope, aliasName, standIns.alias);
      const { region, accountId } = scope;
      return this.#keys.findAfresh({ region, accountId, keyId: alias.keyId }, standIns.key);
    });
  }

  keyOfMaterial(asker: string, region: string, ckaId: string): Promise<Key | undefined> {
    return this.#once(`${asker}>material:${region}/${ckaId}`, region, ({ key }) =>
      this.#keys.findByMaterialAfresh(region, ckaId, key),
    );
  }

  #once(id: string, region: string, read: (standIns: StandIns) => Promise<Key>): Promise<Key | undefined> {
    const { watch } = this.#context;
    const looking = watch.look();
    return looking === undefined ? this.#known(id, region, read) : looking.then(() => this.#known(id, region, read));
  }

  #known(id: string, region: string, read: (standIns: StandIns) => Promise<Key>): Promise<Key | undefined> {
    const { caches } = this.#context;
    // All answers, at any change: to drop those of the changed row alone would tell that it is there.
    const changes = caches.reduce((sum, { generation }) => sum + generation, 0);
    if (changes !== this.#changes) {
      this.#changes = changes;
      this.#answers.clear();
    }
    return this.#answers.get(id) ?? this.#answers.load(id, () => this.#read(region, read));
  }

  /** A broken row is noted and kept as missing: asked again, it must not be looked up again. Any other failure passes, and is not kept. */
  async #read(region: string, read: (standIns: StandIns) => Promise<Key>): Promise<Key> {
    const standIns = await this.#standInsOf(region);
    try {
      return await read(standIns);
    } catch (error) {
      if (!(error instanceof BrokenSealError)) throw error;
      return this.#keys.findAfresh(standInKey(region), standIns.key);
    }
  }

  /** Sealed as any row, so that a token that is away, or was replaced, fails for them as for the others. */
  #standInsOf(region: string): Promise<StandIns> {
    const known = this.#standIns.get(region);
    if (known !== undefined) return known;
    const sealing = this.#sealStandIns(region);
    this.#standIns.set(region, sealing);
    sealing.catch(() => this.#standIns.delete(region));
    return sealing;
  }

  async #sealStandIns(region: string): Promise<StandIns> {
    const { seals } = this.#context;
    return {
      key: await seals.seal(region, keyTable, keyColumns(standInKey(region), 1)),
      alias: await seals.seal(region, aliasTable, aliasColumns(standInAlias(region), 1)),
    };
  }
}

const standInPolicy = JSON.stringify(
  {
    Version: '2012-10-17',
    Id: 'key-default-1',
    Statement: [
      { Sid: 'There is no such key', Effect: 'Deny', Principal: { AWS: '*' }, Action: 'kms:*', Resource: '*' },
    ],
  },
  undefined,
  2,
);

/** In no account, so that no row of the store is mistaken for it. Nobody is let in; as large as a key of the usual kind. */
const standInKey = (region: string): Key => ({
  region,
  accountId: '',
  keyId: 'stand-in',
  keyStore: undefined,
  status: 'creating',
  materialMissing: false,
  spec: 'SYMMETRIC_DEFAULT',
  usage: 'ENCRYPT_DECRYPT',
  description: '',
  createdAtMs: 0,
  deletionAtMs: undefined,
  policy: standInPolicy,
  tags: [],
  backingKeys: [{ materialId: '0'.repeat(64), strategy: 'gcm-host-iv', createdAtMs: 0 }],
  pendingMaterialId: undefined,
  life: 'stand-in',
});

const standInAlias = (region: string) => ({
  region,
  accountId: '',
  aliasName: 'alias/stand-in',
  keyId: 'stand-in',
  createdAtMs: 0,
  updatedAtMs: 0,
});
