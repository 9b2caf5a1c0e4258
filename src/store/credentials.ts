// Access keys: one sealed row each, the secret encrypted by the token and bound to its access key id and account.
import { hash } from 'node:crypto';
import { BridgeError } from '../kernel/errors.js';
import type { Credential } from '../model/principal.js';
import type { CredentialStore } from '../ports/store.js';
import { daemonKeys, theDaemon } from '../ports/token.js';
import { smallRowBytes, type StoreContext } from './context.js';
import { requireStored } from './read-back.js';
import { SealedRows } from './seal.js';
import type { CredentialRow, SealedColumns } from './tables.js';

const aadDomain = Buffer.from('hsm-bridge/secret/v1\0');

/** Rows read at a time. */
const pageRows = 100;

export class CredentialRows implements CredentialStore {
  readonly #context: StoreContext;
  readonly #rows: SealedRows<'credentials', Credential>;

  constructor(context: StoreContext) {
    this.#context = context;
    this.#rows = new SealedRows({
      seals: context.seals,
      table: 'credentials',
      identify: (row) => ({ id: row.access_key_id, region: context.defaultRegion }),
      decode: (row) => this.#unwrap(row),
      reread: (row) => this.#select(row.access_key_id),
      memory: context.caches.memory,
      sizeOf: () => smallRowBytes,
    });
  }

  find(accessKeyId: string): Promise<Credential | undefined> {
    const { caches, watch } = this.#context;
    watch.look();
    return (
      caches.credentials.get(accessKeyId) ??
      caches.credentials.load(accessKeyId, async () => {
        const row = await this.#select(accessKeyId);
        return row === undefined ? undefined : this.#rows.open(row);
      })
    );
  }

  /** The oldest whose seal matches: a row that another hand wrote must not keep the account from its own. */
  async findRoot(accountId: string): Promise<Credential | undefined> {
    for (let offset = 0; ; offset += pageRows) {
      const rows = await this.#context.db
        .selectFrom('credentials')
        .selectAll()
        .where('account_id', '=', accountId)
        .where('root', '=', 1)
        .orderBy('created_at_ms')
        .orderBy('access_key_id')
        .limit(pageRows)
        .offset(offset)
        .execute();
      const [oldest] = await this.#rows.openSound(rows);
      if (oldest !== undefined || rows.length < pageRows) return oldest;
    }
  }

  /** The principal is the account's root: there is no other kind so far. KMSInternalException when the id is taken. */
  async insert(credential: Credential): Promise<void> {
    const { db, seals, tokens, caches, clock, defaultRegion, daemonKeys: keys } = this.#context;
    await keys.ensure(defaultRegion);
    const { accessKeyId, accountId } = credential;
    const secret = Buffer.from(credential.secretAccessKey);
    const wrapped = await tokens
      .of(defaultRegion, theDaemon)
      .encrypt(daemonKeys.secrets, secretAad(accessKeyId, accountId), secret);
    const row = await seals.seal(defaultRegion, 'credentials', {
      access_key_id: accessKeyId,
      version: 1,
      account_id: accountId,
      root: 1,
      created_at_ms: clock.now(),
      wrapped_secret: wrapped,
    });
    try {
      await db.transaction().execute(async (trx) => {
        await trx.insertInto('credentials').values(row).execute();
        await requireStored(trx, 'credentials', { access_key_id: accessKeyId }, row);
      });
    } finally {
      caches.credentials.drop(accessKeyId);
    }
  }

  async #select(accessKeyId: string): Promise<CredentialRow | undefined> {
    const { db, seals } = this.#context;
    const row = await db
      .selectFrom('credentials')
      .selectAll()
      .where('access_key_id', '=', accessKeyId)
      .executeTakeFirst();
    if (row !== undefined && row.access_key_id !== accessKeyId) throw seals.broken('credentials', accessKeyId);
    return row;
  }

  async #unwrap(row: SealedColumns<'credentials'>): Promise<Credential> {
    const { tokens, defaultRegion, seals } = this.#context;
    const aad = secretAad(row.access_key_id, row.account_id);
    try {
      const secret = await tokens.of(defaultRegion, theDaemon).decrypt(daemonKeys.secrets, aad, row.wrapped_secret);
      return Object.freeze({
        accessKeyId: row.access_key_id,
        accountId: row.account_id,
        secretAccessKey: secret.toString(),
      });
    } catch (error) {
      // The caller did not send this ciphertext: to him it is a damaged record, not an InvalidCiphertextException.
      if (!(error instanceof BridgeError) || error.code !== 'InvalidCiphertextException') throw error;
      throw seals.broken('credentials', row.access_key_id);
    }
  }
}

/** SHA-256(domain ‖ each text behind its 32-bit length), 32 bytes. */
function secretAad(...texts: string[]): Buffer {
  const parts = texts.flatMap((text) => {
    const bytes = Buffer.from(text);
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return hash('sha256', Buffer.concat([aadDomain, ...parts]), 'buffer');
}
