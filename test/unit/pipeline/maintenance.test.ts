// What the daemon does of itself, on in-memory ports: deletions that are due, creations that never ended.
import * as kms from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BridgeError } from '../../../src/kernel/errors.js';
import { ckaIdOf, type Key } from '../../../src/model/key.js';
import { defaultKeyStore } from '../../../src/model/key-store.js';
import * as maintenance from '../../../src/pipeline/maintenance.js';
import { reconcile } from '../../../src/pipeline/maintenance.js';
import { SecondLook } from '../../../src/pipeline/second-look.js';
import { rotate } from '../../../src/operations/backing-key.js';
import { NothingMade } from '../../../src/ports/token.js';
import { accounts, region, startLine, type TestLine } from '../../support/line.js';

const lease = { name: 'rotate', holder: 'test', token: 1 };
const keyStore = defaultKeyStore(region);
const dayMs = 86_400_000;
const hourMs = 3_600_000;

let line: TestLine;
let client: kms.KMSClient;
let failures: string[];
let monotonicMs: number;
let secondLook: SecondLook;
const onFailure = (key: Key, error: unknown): void => void failures.push(`${key.keyId} ${String(error)}`);

beforeEach(async () => {
  line = await startLine();
  client = line.client();
  failures = [];
  monotonicMs = 0;
  secondLook = new SecondLook({ monotonicMs: () => monotonicMs });
});
afterEach(() => line.close());

const look = (clockBelieved = true): Promise<void> =>
  maintenance.deleteDueKeys(line.services, keyStore, { secondLook, clockBelieved }, onFailure);

const lookForStale = (): Promise<void> =>
  maintenance.settleStaleCreations(line.services, keyStore, { secondLook, clockBelieved: true }, onFailure);

/** A look, and another an hour later by a clock that nobody sets. */
async function deleteDueKeys(): Promise<void> {
  await look();
  monotonicMs += hourMs;
  await look();
}

async function doomedKey(): Promise<string> {
  const { KeyMetadata } = await client.send(new kms.CreateKeyCommand({}));
  await client.send(new kms.ScheduleKeyDeletionCommand({ KeyId: KeyMetadata?.KeyId, PendingWindowInDays: 7 }));
  return KeyMetadata?.KeyId ?? '';
}

const rowOf = (keyId: string): Promise<Key | undefined> =>
  line.store.keys.find({ region, accountId: accounts.first, keyId });

const ownEvents = (eventName: string): unknown[] =>
  line.audit.records
    .filter(({ record }) => record['eventName'] === eventName)
    .map(({ kind, record }) => [kind, record['errorCode']]);

describe('a deletion that is due by a clock that was set forward', () => {
  it('is carried out at a second look only, an hour later, at which it is still due', async () => {
    const keyId = await doomedKey();
    line.clock.offsetMs = 8 * dayMs;
    for (const passed of [0, hourMs - 1]) {
      monotonicMs = passed;
      await look();
      expect(await rowOf(keyId)).toMatchObject({ status: 'pendingDeletion' });
    }
    // Set right meanwhile, and forward again: the hour begins again.
    line.clock.offsetMs = 0;
    await look();
    line.clock.offsetMs = 8 * dayMs;
    monotonicMs = hourMs;
    await look();
    expect(await rowOf(keyId)).toMatchObject({ status: 'pendingDeletion' });
    monotonicMs = 2 * hourMs;
    await look();
    expect(await rowOf(keyId)).toBeUndefined();
    expect(failures).toEqual([]);
  });

  it('is not carried out, nor counted as seen, while the clock is not believed', async () => {
    const keyId = await doomedKey();
    line.clock.offsetMs = 8 * dayMs;
    await look();
    for (const passed of [hourMs, 100 * hourMs]) {
      monotonicMs = passed;
      await look(false);
    }
    await look();
    expect(await rowOf(keyId)).toMatchObject({ status: 'pendingDeletion' });
    expect(line.audit.records.filter(({ record }) => record['eventName'] === 'DeleteKey')).toEqual([]);
  });

  it('can be cancelled until it is carried out', async () => {
    const keyId = await doomedKey();
    line.clock.offsetMs = 8 * dayMs;
    await look();
    // The SDK's own clock is right; the daemon's signature check must not be what refuses it.
    const late = new kms.KMSClient({
      endpoint: line.endpoint,
      region,
      credentials: { accessKeyId: `AKIA${accounts.first}`, secretAccessKey: `secret-of-${accounts.first}` },
      maxAttempts: 1,
      systemClockOffset: 8 * dayMs,
    });
    await late.send(new kms.CancelKeyDeletionCommand({ KeyId: keyId }));
    late.destroy();
    monotonicMs = 2 * hourMs;
    await look();
    expect(await rowOf(keyId)).toMatchObject({ status: 'disabled' });
  });
});

describe('a deletion that is due', () => {
  it('cannot be cancelled once its material is being destroyed', async () => {
    const keyId = await doomedKey();
    line.clock.offsetMs = 7 * dayMs - 1;
    const token = line.token(region);
    const { destroyScheduled } = token;
    let cancelled: Promise<unknown> = Promise.resolve();
    token.destroyScheduled = async (ckaIds, dueAtMs) => {
      // Back before its day, when only the claim can tell.
      line.clock.offsetMs = 0;
      cancelled = client.send(new kms.CancelKeyDeletionCommand({ KeyId: keyId })).catch((error: unknown) => error);
      expect(await cancelled).toMatchObject({
        name: 'KMSInvalidStateException',
        message: expect.stringMatching(/is not pending deletion\.$/) as string,
      });
      return destroyScheduled(ckaIds, dueAtMs);
    };
    line.clock.offsetMs = 7 * dayMs + 1000;
    await deleteDueKeys();
    expect(failures).toEqual([]);
    expect(await rowOf(keyId)).toBeUndefined();
    expect(token.objects.size).toBe(0);
    expect(ownEvents('DeleteKey')).toEqual([
      ['intent', undefined],
      ['event', undefined],
    ]);
  });

  it('is not carried out when a cancellation came first', async () => {
    const keyId = await doomedKey();
    line.clock.offsetMs = 8 * dayMs;
    vi.spyOn(line.store.keys, 'update').mockImplementationOnce(async (ref, change) => {
      await line.store.keys.update(ref, (key) => ({ ...key, status: 'disabled', deletionAtMs: undefined }));
      return line.store.keys.update(ref, change);
    });
    await deleteDueKeys();
    expect(await rowOf(keyId)).toMatchObject({ status: 'disabled' });
    expect(line.token(region).objects.size).toBe(1);
    expect(failures).toHaveLength(1);
  });

  it('of a key that cannot be destroyed does not hold up the others, and is tried again', async () => {
    const [stuck, other] = [await doomedKey(), await doomedKey()];
    const token = line.token(region);
    const { destroyScheduled } = token;
    const stuckId = (await rowOf(stuck))?.backingKeys[0]?.materialId.slice(0, 32);
    token.destroyScheduled = async (ckaIds, dueAtMs) => {
      if (ckaIds[0]?.toString('hex') === stuckId) throw new BridgeError('KMSInternalException');
      return destroyScheduled(ckaIds, dueAtMs);
    };
    line.clock.offsetMs = 8 * dayMs;
    await deleteDueKeys();
    expect(failures).toEqual([`${stuck} BridgeError: KMSInternalException`]);
    expect(await rowOf(other)).toBeUndefined();
    line.clock.offsetMs = 0;
    const described = await client.send(new kms.DescribeKeyCommand({ KeyId: stuck }));
    expect(described.KeyMetadata?.KeyState).toBe('PendingDeletion');
    token.destroyScheduled = destroyScheduled;
    line.clock.offsetMs = 8 * dayMs;
    await deleteDueKeys();
    expect(await rowOf(stuck)).toBeUndefined();
    expect(token.objects.size).toBe(0);
  });
});

describe('a creation that failed', () => {
  async function failedCreation(made: boolean): Promise<Key> {
    const token = line.token(region);
    const { generateKey } = token;
    token.generateKey = async (ckaId, kind) => {
      if (made) await generateKey(ckaId, kind);
      throw new BridgeError('DependencyTimeoutException');
    };
    await expect(client.send(new kms.CreateKeyCommand({}))).rejects.toMatchObject({
      name: 'DependencyTimeoutException',
    });
    token.generateKey = generateKey;
    for await (const row of line.store.keys.unsettled(keyStore, 'all')) return row;
    throw new Error('nothing is unsettled');
  }

  it('is forgotten when it can no longer be on its way and the token made nothing', async () => {
    const { keyId } = await failedCreation(false);
    await lookForStale();
    // Whatever the wall clock says.
    line.clock.offsetMs = 365 * dayMs;
    monotonicMs += hourMs - 1;
    await lookForStale();
    expect(await rowOf(keyId)).toMatchObject({ status: 'creating' });
    monotonicMs += 1;
    await lookForStale();
    expect(await rowOf(keyId)).toBeUndefined();
    expect(ownEvents('UndoCreateKey')).toEqual([
      ['intent', undefined],
      ['event', undefined],
    ]);
    expect(failures).toEqual([]);
  });

  it.each<[string, () => BridgeError]>([
    ['the token certainly made nothing', () => new NothingMade()],
    ['the request never reached the token', () => new BridgeError('ThrottlingException', 'Rate exceeded')],
  ])('leaves no row when %s', async (_, refusal) => {
    line.token(region).generateKey = () => Promise.reject(refusal());
    await expect(client.send(new kms.CreateKeyCommand({}))).rejects.toMatchObject({ name: refusal().code });
    expect(await line.store.keys.count({ region, accountId: accounts.first })).toBe(0);
  });

  it('keeps its row when the token made the material and the row could not be sealed', async () => {
    const { keys } = line.store;
    const update = keys.update.bind(keys);
    keys.update = () => Promise.reject(new BridgeError('ThrottlingException', 'Rate exceeded'));
    await expect(client.send(new kms.CreateKeyCommand({}))).rejects.toMatchObject({ name: 'ThrottlingException' });
    keys.update = update;
    expect(await line.store.keys.count({ region, accountId: accounts.first })).toBe(1);
  });

  it('is finished when the token made the material: it is the key’s, and never destroyed', async () => {
    const { keyId } = await failedCreation(true);
    await lookForStale();
    monotonicMs += hourMs;
    await lookForStale();
    expect(await rowOf(keyId)).toMatchObject({ status: 'enabled', pendingMaterialId: undefined });
    expect(ownEvents('FinishCreateKey')).toEqual([
      ['intent', undefined],
      ['event', undefined],
    ]);
    line.clock.offsetMs = 0;
    await client.send(new kms.EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('x') }));
  });

  it('is settled by the next start, and does not stop it when that fails', async () => {
    const { keyId } = await failedCreation(false);
    const token = line.token(region);
    const { holds } = token;
    token.holds = () => Promise.reject(new BridgeError('KMSInternalException'));
    await reconcile(line.services, keyStore, onFailure);
    expect(failures).toEqual([`${keyId} BridgeError: KMSInternalException`]);
    token.holds = holds;
    await reconcile(line.services, keyStore, onFailure);
    expect(await rowOf(keyId)).toBeUndefined();
    expect(token.objects.size).toBe(0);
  });
});

it('no deletion is scheduled by a clock that is not believed: its days would be over too soon once the clock is right', async () => {
  const { KeyMetadata } = await client.send(new kms.CreateKeyCommand({}));
  line.doubt.clock = 'the clock is 8 days behind where it was';
  const scheduling = client.send(new kms.ScheduleKeyDeletionCommand({ KeyId: KeyMetadata?.KeyId }));
  await expect(scheduling).rejects.toMatchObject({ name: 'KMSInternalException' });
  expect([...line.token(region).scheduled]).toEqual([]);
  expect(await rowOf(KeyMetadata?.KeyId ?? '')).toMatchObject({ status: 'enabled' });
});

describe('a start', () => {
  const idOf = (key: Key | undefined): string => ckaIdOf(key!.backingKeys[0]!.materialId).toString('hex');
  const start = () => reconcile(line.services, keyStore, onFailure);

  it('finds keys whose material is gone and objects that no row names, wherever they are in the token’s order', async () => {
    const keys: Key[] = [];
    for (let n = 0; n < 8; n++) {
      const { KeyMetadata } = await client.send(new kms.CreateKeyCommand({}));
      keys.push((await rowOf(KeyMetadata?.KeyId ?? ''))!);
    }
    keys.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
    expect(await start()).toEqual({
      settled: 0,
      missing: { count: 0, first: [] },
      unknown: 0,
      unserved: { count: 0, first: [] },
    });
    const { objects } = line.token(region);
    const lost = [0, 3, 4, 7].map((n) => keys[n]!);
    const taken = lost.map((key) => [idOf(key), objects.get(idOf(key))!] as const);
    for (const [id] of taken) objects.delete(id);
    const strange = ['0'.repeat(32), `${idOf(keys[3]).slice(0, 16)}${'0'.repeat(16)}`, 'f'.repeat(32)];
    for (const id of strange) objects.set(id, taken[0]![1]);
    const { missing, unknown } = await start();
    expect({ count: missing.count, first: [...missing.first].sort() }).toEqual({
      count: lost.length,
      first: lost.map((key) => key.keyId).sort(),
    });
    expect(unknown).toBe(strange.length);
    for (const key of keys) expect(await rowOf(key.keyId)).toMatchObject({ materialMissing: lost.includes(key) });
    for (const [id, object] of taken) objects.set(id, object);
    expect((await start()).missing.count).toBe(0);
    for (const key of keys) expect(await rowOf(key.keyId)).toMatchObject({ materialMissing: false });
  });

  it('finds all material gone from an empty token', async () => {
    const { KeyMetadata } = await client.send(new kms.CreateKeyCommand({}));
    line.token(region).objects.clear();
    expect((await start()).missing).toEqual({ count: 1, first: [KeyMetadata?.KeyId] });
  });
});

describe('an older row put back', () => {
  /** A key in use, and its row at each step of its life. */
  async function usedKey(): Promise<{ keyId: string; rows: Key[]; ciphertext: Uint8Array }> {
    const rows: Key[] = [];
    const { keys } = line.store;
    const insert = keys.insert.bind(keys);
    const update = keys.update.bind(keys);
    keys.insert = async (key) => {
      rows.push(key);
      await insert(key);
    };
    keys.update = async (ref, change) => {
      const row = await update(ref, change);
      rows.push(row);
      return row;
    };
    const { KeyMetadata } = await client.send(new kms.CreateKeyCommand({}));
    const keyId = KeyMetadata?.KeyId ?? '';
    const { CiphertextBlob } = await client.send(new kms.EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('x') }));
    return { keyId, rows, ciphertext: CiphertextBlob! };
  }

  async function expectDecrypts({ keyId, ciphertext }: { keyId: string; ciphertext: Uint8Array }): Promise<void> {
    if ((await rowOf(keyId))?.status === 'disabled') await client.send(new kms.EnableKeyCommand({ KeyId: keyId }));
    const { Plaintext } = await client.send(new kms.DecryptCommand({ CiphertextBlob: ciphertext }));
    expect(Buffer.from(Plaintext!).toString()).toBe('x');
  }

  it('that says the key is being created destroys nothing: the key is what it was', async () => {
    const key = await usedKey();
    const creating = key.rows.find((row) => row.status === 'creating')!;
    await line.store.keys.update(creating, () => creating);
    await reconcile(line.services, keyStore, onFailure);
    expect(failures).toEqual([]);
    await expectDecrypts(key);
  });

  it('that announces a rotation which is done destroys nothing', async () => {
    const key = await usedKey();
    await rotate(line.services, (await rowOf(key.keyId))!, lease);
    const { CiphertextBlob } = await client.send(
      new kms.EncryptCommand({ KeyId: key.keyId, Plaintext: Buffer.from('x') }),
    );
    const announced = key.rows.find((row) => row.status === 'enabled' && row.pendingMaterialId !== undefined)!;
    await line.store.keys.update(announced, () => announced);
    await reconcile(line.services, keyStore, onFailure);
    await line.store.keys.update(announced, () => announced);
    await rotate(line.services, announced, lease);
    await expectDecrypts(key);
    await expectDecrypts({ keyId: key.keyId, ciphertext: CiphertextBlob! });
  });

  it('that says a deletion is due destroys nothing after it was cancelled, also when another is scheduled', async () => {
    const key = await usedKey();
    const KeyId = key.keyId;
    await client.send(new kms.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    await client.send(new kms.CancelKeyDeletionCommand({ KeyId }));
    const pending = key.rows.find((row) => row.status === 'pendingDeletion')!;
    for (const again of [false, true]) {
      if (again) await client.send(new kms.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 30 }));
      for (const status of ['pendingDeletion', 'deleting'] as const) {
        await line.store.keys.update(pending, () => ({ ...pending, status }));
        line.clock.offsetMs = 8 * dayMs;
        await deleteDueKeys();
        line.clock.offsetMs = 0;
        expect(failures.splice(0)).toEqual([expect.stringContaining('no record of this deletion')]);
        expect(await rowOf(KeyId)).toMatchObject({ status: 'disabled', deletionAtMs: undefined });
        // The other deletion is off too: nothing is left that a further row could rest on.
        expect([...line.token(region).scheduled]).toEqual([]);
        await expectDecrypts(key);
      }
    }
  });
});
