// Access keys: one sealed row each, the secret encrypted by the token and bound to its access key id and account.
import { hash } from 'node:crypto';
import { BridgeError } from '../kernel/errors.js';
import { prefixed } from '../kernel/length-prefix.js';
import { Secret } from '../kernel/secret.js';
import { defaultKeyStore } from '../model/key-store.js';
import type { Credential } from '../model/principal.js';
import type { CredentialStore } from '../ports/store.js';
import { daemonKeys, theDaemon } from '../ports/token.js';
import { smallRowBytes, type StoreContext } from './context.js';
import { SealedTable, type TableAtWork } from './sealed-table.js';
import { describe, type Columns, type RowOf, type SealedRow, type World } from './table.js';

const columns = {
  access_key_id: 'text',
  version: 'integer',
  account_id: 'text',
  root: 'integer',
  created_at_ms: 'integer',
  wrapped_secret: 'blob',
} as const satisfies Columns;

export const credentials = describe({
  name: 'credentials',
  columns,
  key: ['access_key_id'],
  sealedIn: 'default Region',
  ofKey: false,
  fromRow: unwrap,
  bytesOf: () => smallRowBytes,
});

type CredentialTables = Record<'credentials', SealedRow<typeof columns>>;

const aadDomain = Buffer.from('hsm-bridge/secret/v1\0');

/** Rows read at a time. */
const pageRows = 100;

export class CredentialRows implements CredentialStore {
  readonly #context: StoreContext;
  readonly #table: TableAtWork<typeof credentials>;

  constructor(context: StoreContext) {
    this.#context = context;
    this.#table = new SealedTable(context, credentials);
  }

  find(accessKeyId: string): Promise<Credential | undefined> {
    return this.#table.find(accessKeyId, { access_key_id: accessKeyId });
  }

  /** The oldest whose seal matches: a row that another hand wrote must not keep the account from its own. */
  async findRoot(accountId: string): Promise<Credential | undefined> {
    for (let offset = 0; ; offset += pageRows) {
      const rows = await this.#context.db
        .withTables<CredentialTables>()
        .selectFrom('credentials')
        .select(this.#table.values)
        .where('account_id', '=', accountId)
        .where('root', '=', 1)
        .orderBy('created_at_ms')
        .orderBy('access_key_id')
        .limit(pageRows)
        .offset(offset)
        .execute();
      const [oldest] = await this.#table.openSound(rows as unknown as SealedRow<typeof columns>[]);
      if (oldest !== undefined || rows.length < pageRows) return oldest;
    }
  }

  /** The principal is the account's root: there is no other kind so far. KMSInternalException when the id is taken. */
  async insert(credential: Credential): Promise<void> {
    const { tokens, clock, defaultRegion, daemonKeys: keys } = this.#context;
    const keyStore = defaultKeyStore(defaultRegion);
    await keys.ensure(keyStore);
    const { accessKeyId, accountId } = credential;
    const secret = new Secret(Buffer.from(credential.secretAccessKey.reveal()));
    const row = await this.#table.seal({
      access_key_id: accessKeyId,
      version: 1,
      account_id: accountId,
      root: 1,
      created_at_ms: clock.now(),
      wrapped_secret: await tokens
        .of(keyStore, theDaemon)
        .encrypt(daemonKeys.secrets, secretAad(accessKeyId, accountId), secret),
    });
    await this.#context.writes.run(async (write) => {
      if (!(await this.#table.insert(write, row))) throw new BridgeError('KMSInternalException');
    });
  }
}

async function unwrap(row: RowOf<typeof columns>, { tokens, defaultRegion }: World): Promise<Credential | undefined> {
  const aad = secretAad(row.access_key_id, row.account_id);
  try {
    const secret = await tokens
      .of(defaultKeyStore(defaultRegion), theDaemon)
      .decrypt(daemonKeys.secrets, aad, row.wrapped_secret);
    return Object.freeze({
      accessKeyId: row.access_key_id,
      accountId: row.account_id,
      secretAccessKey: new Secret(secret.reveal().toString()),
    });
  } catch (error) {
    // The caller did not send this ciphertext: to it this is a damaged record, not an InvalidCiphertextException.
    if (error instanceof BridgeError && error.code === 'InvalidCiphertextException') return undefined;
    throw error;
  }
}

/** SHA-256(domain ‖ each text behind its 32-bit length), 32 bytes. */
const secretAad = (...texts: string[]): Buffer =>
  hash('sha256', Buffer.concat([aadDomain, prefixed(...texts.map((text) => Buffer.from(text)))]), 'buffer');
