// A Region of several key stores, on in-memory ports: where a key goes, that it stays there, and that no token is taken for another.
import * as kms from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BridgeError } from '../../../src/kernel/errors.js';
import { ckaIdOf, type Key } from '../../../src/model/key.js';
import { defaultKeyStore, type KeyStoreRef } from '../../../src/model/key-store.js';
import { rotate } from '../../../src/operations/backing-key.js';
import { deleteDueKeys, reconcile, settleStaleCreations } from '../../../src/pipeline/maintenance.js';
import { SecondLook } from '../../../src/pipeline/second-look.js';
import { accounts, createKey, failure, lineOfSuite, region } from '../../support/line.js';

const { line, client, plaintext } = await lineOfSuite();
const first = defaultKeyStore(region);
const archive: KeyStoreRef = { region, keyStore: 'archive' };
const mac: kms.CreateKeyCommandInput = { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' };

/** The default token does no MACs for users; the second one does everything, the third nothing that is asked here. */
beforeEach(() => {
  line.tokens.furtherKeyStores = ['archive', 'spare'];
  line.token(region).algorithms = ['AES_256_GCM'];
  line.token(region, 'archive').algorithms = ['AES_256_GCM', 'HMAC_SHA_256', 'HMAC_SHA_384'];
  line.token(region, 'spare').algorithms = ['HMAC_SHA_384'];
  line.faults.length = 0;
});

afterEach(() => void vi.restoreAllMocks());

const rowOf = async (keyId: string): Promise<Key> =>
  (await line.store.keys.find({ region, accountId: accounts.first, keyId }))!;
const idsOf = (key: Key): string[] => key.backingKeys.map(({ materialId }) => materialId.slice(0, 32));
const objectsOf = (keyStore?: string): ReadonlyMap<string, unknown> => line.token(region, keyStore).objects;
const noFailure = (key: Key, error: unknown): void => expect.unreachable(`${key.keyId}: ${String(error)}`);

/** What is in `archive` though the default token could do it: it came to be when that was otherwise. */
async function archivedKey(): Promise<Key> {
  line.token(region).algorithms = [];
  const { KeyId } = await createKey(client);
  line.token(region).algorithms = ['AES_256_GCM'];
  return rowOf(KeyId!);
}

describe('a new key', () => {
  it('goes to the first key store that can do its spec, and its row says so', async () => {
    const [symmetric, hmac] = [await createKey(client), await createKey(client, mac)];
    const rows = [await rowOf(symmetric.KeyId!), await rowOf(hmac.KeyId!)];
    expect(rows.map(({ keyStore }) => keyStore)).toEqual([undefined, 'archive']);
    expect(rows.map((row) => idsOf(row).map((id) => objectsOf().has(id)))).toEqual([[true], [false]]);
    expect(rows.map((row) => idsOf(row).map((id) => objectsOf('archive').has(id)))).toEqual([[false], [true]]);
    const { Mac } = await client.send(
      new kms.GenerateMacCommand({ KeyId: hmac.KeyId, MacAlgorithm: 'HMAC_SHA_256', Message: plaintext }),
    );
    const verify = { KeyId: hmac.KeyId, MacAlgorithm: 'HMAC_SHA_256', Message: plaintext, Mac } as const;
    expect((await client.send(new kms.VerifyMacCommand(verify))).MacValid).toBe(true);
  });

  it('is refused where none can', async () => {
    const input: kms.CreateKeyCommandInput = { KeySpec: 'HMAC_512', KeyUsage: 'GENERATE_VERIFY_MAC' };
    expect(await failure(createKey(client, input))).toMatch(/^UnsupportedOperationException: KeySpec HMAC_512/);
  });

  it('goes to no other key store while the one that comes before is away', async () => {
    const count = await line.store.keys.count({ region, accountId: accounts.first });
    const away = vi
      .spyOn(line.token(region, 'archive'), 'info')
      .mockRejectedValue(new BridgeError('KMSInternalException'));
    const input: kms.CreateKeyCommandInput = { KeySpec: 'HMAC_384', KeyUsage: 'GENERATE_VERIFY_MAC' };
    expect(await failure(createKey(client, input))).toMatch(/^KMSInternalException/);
    expect(await line.store.keys.count({ region, accountId: accounts.first })).toBe(count);
    away.mockRestore();
    expect((await rowOf((await createKey(client, input)).KeyId!)).keyStore).toBe('archive');
  });

  it('is named by its row before the token is asked to make it', async () => {
    const token = line.token(region, 'archive');
    const { generateKey } = token;
    const seen: (string | undefined)[] = [];
    token.generateKey = async (ckaId, kind) => {
      for await (const row of line.store.keys.unsettled(archive, 'all'))
        if (ckaIdOf(row.pendingMaterialId!).equals(ckaId)) seen.push(row.keyStore);
      await generateKey(ckaId, kind);
    };
    await createKey(client, mac);
    token.generateKey = generateKey;
    expect(seen).toEqual(['archive']);
  });
});

describe('a key', () => {
  it('stays in its key store, with every generation, whatever the order is by now', async () => {
    const key = await archivedKey();
    const KeyId = key.keyId;
    const encrypt = () => client.send(new kms.EncryptCommand({ KeyId, Plaintext: plaintext }));
    const ciphertexts = [(await encrypt()).CiphertextBlob];
    line.tokens.furtherKeyStores = ['spare', 'archive'];
    await rotate(line.services, key, { name: 'rotate', holder: 'test', token: 1 });
    ciphertexts.push((await encrypt()).CiphertextBlob);
    const { CiphertextBlob } = await client.send(new kms.GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }));
    ciphertexts.push(CiphertextBlob);
    const row = await rowOf(KeyId);
    expect(idsOf(row)).toHaveLength(2);
    expect(idsOf(row).every((id) => objectsOf('archive').has(id))).toBe(true);
    for (const CiphertextBlob of ciphertexts.slice(0, 2)) {
      const { Plaintext } = await client.send(new kms.DecryptCommand({ CiphertextBlob }));
      expect(Buffer.from(Plaintext!).equals(plaintext)).toBe(true);
    }
    await client.send(new kms.DecryptCommand({ CiphertextBlob: ciphertexts[2] }));
  });

  it('is re-encrypted under one of another key store, either way, and its plaintext wiped', async () => {
    const [here, there] = [(await createKey(client)).KeyId!, (await archivedKey()).keyId];
    const context = { tenant: 'a' };
    const { CiphertextBlob } = await client.send(
      new kms.EncryptCommand({ KeyId: here, Plaintext: plaintext, EncryptionContext: context }),
    );
    const passed: Buffer[] = [];
    for (const token of [line.token(region), line.token(region, 'archive')]) {
      const { decrypt } = token;
      vi.spyOn(token, 'decrypt').mockImplementation(async (...words) => {
        const opened = await decrypt(...words);
        passed.push(opened.reveal());
        return opened;
      });
    }
    const moved = await client.send(
      new kms.ReEncryptCommand({
        CiphertextBlob,
        SourceEncryptionContext: context,
        DestinationKeyId: there,
        DestinationEncryptionContext: { tenant: 'b' },
      }),
    );
    expect(moved).toMatchObject({
      SourceKeyId: expect.stringContaining(here) as string,
      KeyId: expect.stringContaining(there) as string,
    });
    const back = await client.send(
      new kms.ReEncryptCommand({
        CiphertextBlob: moved.CiphertextBlob,
        SourceEncryptionContext: { tenant: 'b' },
        DestinationKeyId: here,
      }),
    );
    expect(passed.map((bytes) => bytes.toString('hex'))).toEqual(Array(2).fill('00'.repeat(plaintext.length)));
    const { Plaintext } = await client.send(new kms.DecryptCommand({ CiphertextBlob: back.CiphertextBlob }));
    expect(Buffer.from(Plaintext!).equals(plaintext)).toBe(true);
    const wrong = client.send(new kms.ReEncryptCommand({ CiphertextBlob, DestinationKeyId: there }));
    expect(await failure(wrong)).toMatch(/^InvalidCiphertextException/);
    vi.spyOn(line.token(region, 'archive'), 'encrypt').mockRejectedValueOnce(
      new BridgeError('DependencyTimeoutException'),
    );
    passed.length = 0;
    const lost = client.send(
      new kms.ReEncryptCommand({ CiphertextBlob, SourceEncryptionContext: context, DestinationKeyId: there }),
    );
    expect(await failure(lost)).toMatch(/^DependencyTimeoutException/);
    expect(passed.map((bytes) => bytes.toString('hex'))).toEqual(['00'.repeat(plaintext.length)]);
  });

  it('of a key store that is not configured is used by nobody, deleted by nobody, and audited as any other', async () => {
    const key = await archivedKey();
    const KeyId = key.keyId;
    const { CiphertextBlob } = await client.send(new kms.EncryptCommand({ KeyId, Plaintext: plaintext }));
    line.tokens.furtherKeyStores = [];
    const records = line.audit.records.length;
    const current = (await createKey(client)).KeyId;
    const calls = [
      () => client.send(new kms.EncryptCommand({ KeyId, Plaintext: plaintext })),
      () => client.send(new kms.DecryptCommand({ CiphertextBlob })),
      () => client.send(new kms.ReEncryptCommand({ CiphertextBlob, DestinationKeyId: current })),
      () => client.send(new kms.ScheduleKeyDeletionCommand({ KeyId })),
    ];
    for (const call of calls) expect(await failure(call())).toMatch(/^KMSInternalException/);
    const failed = line.audit.records
      .slice(records)
      .filter(({ record }) => record['errorCode'] === 'KMSInternalException');
    expect(failed.map(({ record }) => record['eventName']).sort()).toEqual([
      'Decrypt',
      'Encrypt',
      'ReEncrypt',
      'ScheduleKeyDeletion',
    ]);
    expect(line.faults).toHaveLength(4);
    expect((await client.send(new kms.DescribeKeyCommand({ KeyId }))).KeyMetadata?.KeyState).toBe('Enabled');
    const { missing, unserved } = await reconcile(line.services, first, noFailure);
    expect(missing.count).toBe(0);
    expect(unserved.first).toEqual(['archive']);
    expect(unserved.count).toBeGreaterThan(0);
    expect(await rowOf(KeyId)).toMatchObject({ status: 'enabled', materialMissing: false });
    line.tokens.furtherKeyStores = ['archive'];
    const { Plaintext } = await client.send(new kms.DecryptCommand({ CiphertextBlob }));
    expect(Buffer.from(Plaintext!).equals(plaintext)).toBe(true);
  });
});

describe('upkeep', () => {
  it('takes each key store for itself: what another one holds is neither missing nor known', async () => {
    const [here, there] = [await rowOf((await createKey(client)).KeyId!), await archivedKey()];
    const start = async () => [
      await reconcile(line.services, first, noFailure),
      await reconcile(line.services, archive, noFailure),
    ];
    const sound = { settled: 0, missing: { count: 0, first: [] }, unknown: 0, unserved: { count: 0, first: [] } };
    expect(await start()).toEqual([sound, sound]);
    // An object that a row of the other key store names, in both directions; each is missing where it belongs.
    const [ours, theirs] = [line.token(region).objects, line.token(region, 'archive').objects];
    const [a, b] = [idsOf(here)[0]!, idsOf(there)[0]!];
    const [inA, inB] = [ours.get(a)!, theirs.get(b)!];
    ours.delete(a);
    theirs.delete(b);
    ours.set(b, inB);
    theirs.set(a, inA);
    const lost = (key: Key) => ({ ...sound, missing: { count: 1, first: [key.keyId] }, unknown: 1 });
    expect(await start()).toEqual([lost(here), lost(there)]);
    for (const key of [here, there]) expect(await rowOf(key.keyId)).toMatchObject({ materialMissing: true });
    ours.delete(b);
    theirs.delete(a);
    ours.set(a, inA);
    theirs.set(b, inB);
    expect(await start()).toEqual([sound, sound]);
    for (const key of [here, there]) expect(await rowOf(key.keyId)).toMatchObject({ materialMissing: false });
  });

  it('settles a creation by asking the token that its row names', async () => {
    const token = line.token(region, 'archive');
    const { generateKey } = token;
    token.generateKey = async (ckaId, kind) => {
      await generateKey(ckaId, kind);
      throw new BridgeError('DependencyTimeoutException');
    };
    expect(await failure(createKey(client, mac))).toMatch(/^DependencyTimeoutException/);
    token.generateKey = generateKey;
    const asked = vi.spyOn(line.token(region), 'holds');
    let monotonicMs = 0;
    const secondLook = new SecondLook({ monotonicMs: () => monotonicMs });
    const evidence = { secondLook, clockBelieved: true };
    const unsettled: Key[] = [];
    for await (const key of line.store.keys.unsettled(archive, 'all')) unsettled.push(key);
    expect(unsettled).toHaveLength(1);
    for (const passed of [0, 3_600_000]) {
      monotonicMs = passed;
      for (const keyStore of [first, archive]) await settleStaleCreations(line.services, keyStore, evidence, noFailure);
    }
    expect(await rowOf(unsettled[0]!.keyId)).toMatchObject({ status: 'enabled', keyStore: 'archive' });
    expect(asked).not.toHaveBeenCalled();
    asked.mockRestore();
  });

  it('deletes and forgets nothing while the token is another one than the keys were made in', async () => {
    const doomed = await archivedKey();
    await client.send(new kms.ScheduleKeyDeletionCommand({ KeyId: doomed.keyId, PendingWindowInDays: 7 }));
    line.clock.offsetMs = 8 * 86_400_000;
    line.token(region, 'archive').objects.clear();
    const wrong = vi.spyOn(line.store, 'wrongToken').mockResolvedValue('another token');
    let monotonicMs = 0;
    const secondLook = new SecondLook({ monotonicMs: () => monotonicMs });
    const evidence = { secondLook, clockBelieved: true };
    await deleteDueKeys(line.services, archive, evidence, noFailure);
    monotonicMs = 3_600_000;
    await expect(deleteDueKeys(line.services, archive, evidence, noFailure)).rejects.toThrow(BridgeError);
    line.clock.offsetMs = 0;
    expect(wrong).toHaveBeenCalledWith(archive);
    expect(await rowOf(doomed.keyId)).toMatchObject({ status: 'pendingDeletion' });
    await client.send(new kms.CancelKeyDeletionCommand({ KeyId: doomed.keyId }));
  });

  it('records a deletion in the key’s own token, and destroys there', async () => {
    const [here, there] = [await rowOf((await createKey(client)).KeyId!), await archivedKey()];
    for (const { keyId: KeyId } of [here, there])
      await client.send(new kms.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    const recorded = (keyStore?: string) =>
      [...line.token(region, keyStore).scheduled].map((record) => record.slice(0, 32));
    expect([recorded(), recorded('archive')]).toEqual([idsOf(here), idsOf(there)]);
    await client.send(new kms.CancelKeyDeletionCommand({ KeyId: there.keyId }));
    expect(recorded('archive')).toEqual([]);
    await client.send(new kms.ScheduleKeyDeletionCommand({ KeyId: there.keyId, PendingWindowInDays: 7 }));
    line.clock.offsetMs = 8 * 86_400_000;
    let monotonicMs = 0;
    const secondLook = new SecondLook({ monotonicMs: () => monotonicMs });
    const evidence = { secondLook, clockBelieved: true };
    // The default token is away: the other key store's deletions are carried out all the same.
    const away = vi.spyOn(line.token(region), 'info').mockRejectedValue(new BridgeError('KMSInternalException'));
    for (const passed of [0, 3_600_000]) {
      monotonicMs = passed;
      await deleteDueKeys(line.services, first, evidence, noFailure).catch(() => undefined);
      await deleteDueKeys(line.services, archive, evidence, noFailure);
    }
    expect(await rowOf(there.keyId)).toBeUndefined();
    expect(objectsOf('archive').has(idsOf(there)[0]!)).toBe(false);
    expect(await rowOf(here.keyId)).toMatchObject({ status: 'pendingDeletion' });
    away.mockRestore();
    await deleteDueKeys(line.services, first, evidence, noFailure);
    await deleteDueKeys(line.services, first, evidence, noFailure);
    line.clock.offsetMs = 0;
  });
});
