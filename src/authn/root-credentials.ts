// Root access keys of the configured accounts: made once, kept sealed and wrapped in the store, the same after every restart.
import type { Random } from '../kernel/random.js';
import { Secret } from '../kernel/secret.js';
import type { Credential } from '../model/principal.js';
import type { CredentialStore } from '../ports/store.js';

const idAlphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** Records that an access key is made, around its making. */
export type AuditCreation = (accountId: string, accessKeyId: string, create: () => Promise<void>) => Promise<void>;

/** One credential an account, in their order; creates those that are missing. Called by one process at a time. */
export async function ensureRootCredentials(
  store: CredentialStore,
  random: Random,
  accounts: readonly string[],
  audit: AuditCreation,
): Promise<readonly Credential[]> {
  const credentials: Credential[] = [];
  for (const accountId of accounts) {
    const existing = await store.findRoot(accountId);
    credentials.push(existing ?? (await create(store, random, accountId, audit)));
  }
  return credentials;
}

async function create(
  store: CredentialStore,
  random: Random,
  accountId: string,
  audit: AuditCreation,
): Promise<Credential> {
  const accessKeyId = `AKIA${[...random.bytes(16)].map((byte) => idAlphabet.charAt(byte & 31)).join('')}`;
  // 30 bytes: 40 characters of base64, as AWS's secrets have.
  const credential = { accessKeyId, accountId, secretAccessKey: new Secret(random.bytes(30).toString('base64')) };
  await audit(accountId, accessKeyId, () => store.insert(credential));
  return credential;
}
