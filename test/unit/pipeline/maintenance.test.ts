// What the daemon does of itself, on in-memory ports: deletions that are due, creations that never ended.
import * as kms from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BridgeError } from '../../../src/kernel/errors.js';
import type { Key } from '../../../src/model/key.js';
import * as maintenance from '../../../src/pipeline/maintenance.js';
import { reconcile } from '../../../src/pipeline/maintenance.js';
import { SecondLook } from '../../../src/pipeline/second-look.js';
import { accounts, region, startLine, type TestLine } from '../../support/line.js';

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
  maintenance.deleteDueKeys(line.services, region, { secondLook, clockBelieved }, onFailure);

const lookForStale = (): Promise<void> =>
  maintenance.undoStaleCreations(line.services, region, { secondLook, clockBelieved: true }, onFailure);

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
    const { destroyKey } = token;
    let cancelled: Promise<unknown> = Promise.resolve();
    token.destroyKey = async (ckaId) => {
      // Back before its day, when only the claim can tell.
      line.clock.offsetMs = 0;
      cancelled = client.send(new kms.CancelKeyDeletionCommand({ KeyId: keyId })).catch((error: unknown) => error);
      expect(await cancelled).toMatchObject({
        name: 'KMSInvalidStateException',
        message: expect.stringMatching(/is not pending deletion\.$/) as string,
      });
      return destroyKey(ckaId);
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
    const { destroyKey } = token;
    const stuckId = (await rowOf(stuck))?.backingKeys[0]?.materialId.slice(0, 32);
    token.destroyKey = async (ckaId) => {
      if (ckaId.toString('hex') === stuckId) throw new BridgeError('KMSInternalException');
      return destroyKey(ckaId);
    };
    line.clock.offsetMs = 8 * dayMs;
    await deleteDueKeys();
    expect(failures).toEqual([`${stuck} BridgeError: KMSInternalException`]);
    expect(await rowOf(other)).toBeUndefined();
    line.clock.offsetMs = 0;
    const described = await client.send(new kms.DescribeKeyCommand({ KeyId: stuck }));
    expect(described.KeyMetadata?.KeyState).toBe('PendingDeletion');
    token.destroyKey = destroyKey;
    line.clock.offsetMs = 8 * dayMs;
    await deleteDueKeys();
    expect(await rowOf(stuck)).toBeUndefined();
    expect(token.objects.size).toBe(0);
  });
});

describe('a creation that failed', () => {
  async function failedCreation(): Promise<Key> {
    const token = line.token(region);
    const { generateKey } = token;
    token.generateKey = async (ckaId) => {
      await generateKey(ckaId);
      throw new BridgeError('DependencyTimeoutException');
    };
    await expect(client.send(new kms.CreateKeyCommand({}))).rejects.toMatchObject({
      name: 'DependencyTimeoutException',
    });
    token.generateKey = generateKey;
    for await (const row of line.store.keys.unsettled(region, () => true)) return row;
    throw new Error('nothing is unsettled');
  }

  it('is undone when it can no longer be on its way, with its material', async () => {
    const { keyId } = await failedCreation();
    await lookForStale();
    // Whatever the wall clock says.
    line.clock.offsetMs = 365 * dayMs;
    monotonicMs += hourMs - 1;
    await lookForStale();
    expect(await rowOf(keyId)).toMatchObject({ status: 'creating' });
    monotonicMs += 1;
    await lookForStale();
    expect(await rowOf(keyId)).toBeUndefined();
    expect(line.token(region).objects.size).toBe(0);
    expect(ownEvents('UndoCreateKey')).toEqual([
      ['intent', undefined],
      ['event', undefined],
    ]);
    expect(failures).toEqual([]);
  });

  it('is undone by the next start, and does not stop it when that fails', async () => {
    const { keyId } = await failedCreation();
    const token = line.token(region);
    const { destroyKey } = token;
    token.destroyKey = () => Promise.reject(new BridgeError('KMSInternalException'));
    await reconcile(line.services, region, () => true, onFailure);
    expect(failures).toEqual([`${keyId} BridgeError: KMSInternalException`]);
    token.destroyKey = destroyKey;
    await reconcile(line.services, region, () => true, onFailure);
    expect(await rowOf(keyId)).toBeUndefined();
    expect(token.objects.size).toBe(0);
  });
});
