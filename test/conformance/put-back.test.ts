// Whoever can write the database puts an older row of a key back, with the seal that the daemon gave it, and takes away what has no seal:
// nothing in the token is destroyed for it.
import {
  CancelKeyDeletionCommand,
  CreateKeyCommand,
  DecryptCommand,
  EnableKeyCommand,
  EncryptCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { preloadUrl, TestDaemon, until } from '../support/daemon.js';
import { auditLines, expectedObjects, expectSoundAudit, type Row, sql, tokenObjects } from '../support/inside.js';

const region = 'us-east-1';
const dayMs = 86_400_000;

let daemon: TestDaemon;
beforeEach(async () => {
  daemon = await TestDaemon.started();
});
afterEach(async () => {
  await daemon.clean();
});

interface Used {
  readonly keyId: string;
  readonly creating: Row;
  readonly ciphertext: Uint8Array;
}

/** A key that has encrypted, and its row as it was while the token made it. */
async function usedKey(): Promise<Used> {
  const kms = daemon.client(region);
  let creating: Row | undefined;
  while (creating === undefined) {
    let made: string | undefined;
    const creation = kms.send(new CreateKeyCommand({})).then(({ KeyMetadata }) => (made = KeyMetadata?.KeyId));
    while (made === undefined) {
      creating ??= sql(daemon.home, `select * from keys where status = 'creating'`)[0];
      await new Promise((resolve) => setImmediate(resolve));
    }
    await creation;
  }
  const keyId = String(creating['key_id']);
  const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('kept') }));
  return { keyId, creating, ciphertext: CiphertextBlob! };
}

const rowOf = (keyId: string): Row => sql(daemon.home, 'select * from keys where key_id = ?', keyId)[0]!;

/** Of a daemon that has stopped. Backing keys that it does not have yet are taken away too. */
function putBack(row: Row): void {
  const columns = Object.keys(row);
  const values = columns.map((name) => (row[name] instanceof ArrayBuffer ? Buffer.from(row[name]) : row[name]));
  sql(daemon.home, 'delete from keys where key_id = ?', row['key_id']);
  sql(daemon.home, 'delete from usage');
  if (row['status'] === 'creating') sql(daemon.home, 'delete from backing_keys where key_id = ?', row['key_id']);
  sql(daemon.home, `insert into keys (${columns.join()}) values (${columns.map(() => '?').join()})`, ...values);
}

async function expectDecrypts(key: Used): Promise<void> {
  const kms = daemon.client(region);
  if (rowOf(key.keyId)['status'] === 'disabled') await kms.send(new EnableKeyCommand({ KeyId: key.keyId }));
  const { Plaintext } = await kms.send(new DecryptCommand({ CiphertextBlob: key.ciphertext }));
  expect(Buffer.from(Plaintext!).toString()).toBe('kept');
  expect(tokenObjects(daemon.home, region)).toEqual(expectedObjects(daemon.home, region));
}

const outcomes = (eventName: string): (string | undefined)[] =>
  auditLines(daemon.home)
    .filter(({ kind, record }) => kind === 'event' && record.eventName === eventName)
    .map(({ record }) => record.errorCode);

describe('an older row put back', () => {
  it('that says the key is being made: the next start finds its material, and the key decrypts', async () => {
    const key = await usedKey();
    expect(await daemon.stop()).toBe(0);
    putBack(key.creating);
    await daemon.start();
    await expectDecrypts(key);
    expect(outcomes('FinishCreateKey')).toEqual([undefined]);
    expect(await daemon.stop()).toBe(0);
    await expectSoundAudit(daemon.home);
  });

  it('that says the key is pending deletion, after a cancellation: its day passes, and the key decrypts', async () => {
    const key = await usedKey();
    const kms = daemon.client(region);
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: key.keyId, PendingWindowInDays: 7 }));
    const pending = rowOf(key.keyId);
    await kms.send(new CancelKeyDeletionCommand({ KeyId: key.keyId }));
    expect(await daemon.stop()).toBe(0);
    putBack(pending);
    daemon.confirmClock(8 * dayMs);
    await daemon.start({ shiftMs: 8 * dayMs, preload: [preloadUrl('hurry-upkeep.mjs')] });
    await until(
      () => outcomes('DeleteKey').length > 0,
      () => `the key is not looked at:\n${daemon.said()}`,
    );
    expect(outcomes('DeleteKey')).toEqual(['KMSInvalidStateException']);
    await expectDecrypts(key);
    expect(await daemon.stop()).toBe(0);
    await expectSoundAudit(daemon.home);
  });
});
