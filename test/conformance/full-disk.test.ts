// A disk that really fills: the daemon refuses and stays, loses nothing it had acknowledged, and goes on by itself when there is space.
import { spawnSync } from 'node:child_process';
import { closeSync, fsyncSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  type KMSClient,
  ListKeysCommand,
} from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestDaemon, until } from '../support/daemon.js';
import { auditLines, eventsById, expectedObjects, expectSoundAudit, tokenObjects } from '../support/inside.js';

const region = 'us-east-1';
let disk: string;
let daemon: TestDaemon;
beforeEach(() => {
  disk = mkdtempSync(join(tmpdir(), 'hsm-bridge-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=6m,mode=700', 'tmpfs', disk], { encoding: 'utf8' });
  if (mounted.status !== 0) throw new Error(`a small file system is needed (root may mount one): ${mounted.stderr}`);
  mkdirSync(join(disk, 'home'), { mode: 0o700 });
  daemon = new TestDaemon(join(disk, 'home'));
});
afterEach(async () => {
  try {
    await daemon.clean();
  } finally {
    spawnSync('umount', ['-l', disk]);
    rmSync(disk, { recursive: true, force: true });
  }
});

const filler = (): string => join(disk, 'filler');

/** Takes what is free, but for `leaveBytes`. */
function fill(leaveBytes = 0): void {
  const { bavail, bsize } = statfsSync(disk);
  const file = openSync(filler(), 'a', 0o600);
  try {
    for (let left = bavail * bsize - leaveBytes; left > 0; left -= 4096)
      writeSync(file, Buffer.alloc(Math.min(4096, left)));
    fsyncSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}

interface Acknowledged {
  readonly requestIds: string[];
  readonly ciphertexts: Uint8Array[];
  readonly refused: string[];
}

/** One key, its alias and a ciphertext; what was answered is noted. */
async function work(kms: KMSClient, name: string, noted: Acknowledged): Promise<void> {
  try {
    const { KeyMetadata, $metadata: created } = await kms.send(new CreateKeyCommand({ Description: name }));
    noted.requestIds.push(created.requestId ?? '');
    const { CiphertextBlob, $metadata: encrypted } = await kms.send(
      new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from(name) }),
    );
    noted.requestIds.push(encrypted.requestId ?? '');
    noted.ciphertexts.push(CiphertextBlob!);
    const { $metadata: aliased } = await kms.send(
      new CreateAliasCommand({ AliasName: `alias/${name}`, TargetKeyId: KeyMetadata?.KeyId }),
    );
    noted.requestIds.push(aliased.requestId ?? '');
  } catch (error) {
    noted.refused.push((error as Error).name);
  }
}

const none = (): Acknowledged => ({ requestIds: [], ciphertexts: [], refused: [] });
const succeeds = (call: Promise<unknown>): Promise<boolean> =>
  call.then(
    () => true,
    () => false,
  );

async function expectAllKept(noted: Acknowledged): Promise<void> {
  const kms = daemon.client();
  for (const CiphertextBlob of noted.ciphertexts) await kms.send(new DecryptCommand({ CiphertextBlob }));
  const events = eventsById(daemon.home);
  const missing = noted.requestIds.filter((id) => events.get(id)?.length !== 1);
  expect(missing, 'acknowledged calls without exactly one audit event').toEqual([]);
}

async function expectSoundAfterRestart(noted: Acknowledged): Promise<void> {
  expect(await daemon.stop()).toBe(0);
  await daemon.start();
  await expectAllKept(noted);
  expect(tokenObjects(daemon.home, region)).toEqual(expectedObjects(daemon.home, region));
  expect(await daemon.stop()).toBe(0);
  await expectSoundAudit(daemon.home);
}

describe('a disk that fills under load', () => {
  it.each([0, 16, 40, 100])('with %i KiB left to go: refuses, loses nothing, goes on by itself', async (leaveKib) => {
    await daemon.start();
    const kms = daemon.client();
    const noted = none();
    await work(kms, 'before', noted);
    expect(noted.refused).toEqual([]);

    fill(leaveKib * 1024);
    for (let i = 0; noted.refused.length < 20; i++) {
      expect(i, 'operations on a full disk').toBeLessThan(2_000);
      await work(kms, `during-${i}`, noted);
    }
    // The service's fault, and never another's.
    expect(noted.refused.filter((name) => name !== 'KMSInternalException')).toEqual([]);
    // What cannot be recorded is not answered, reading or writing.
    fill();
    await until(
      async () => !(await succeeds(kms.send(new ListKeysCommand({})))),
      () => 'calls are still answered on a full disk',
    );
    await until(
      async () => (await daemon.admin('/health/ready')).status === 503,
      () => 'health says ready on a full disk',
    );
    expect((await daemon.admin('/health/live')).status).toBe(200);
    expect((await daemon.admin('/metrics')).text).toMatch(/^hsm_bridge_audit_writable 0$/m);

    rmSync(filler());
    await until(
      () => succeeds(kms.send(new CreateKeyCommand({}))),
      () => `it does not go on with free space:\n${daemon.said()}`,
    );
    expect((await daemon.admin('/health/ready')).status).toBe(200);
    await work(kms, 'after', noted);
    await expectAllKept(noted);
    // The log tells of its own gap.
    expect(auditLines(daemon.home).filter(({ record }) => /^Audit/.test(record.eventName)).length).toBeGreaterThan(0);
    await expectSoundAfterRestart(noted);
  });
});

describe('a disk that is full', () => {
  it('at the start: it says so in one line, or serves; nothing is lost, and all is well with space', async () => {
    await daemon.start();
    const noted = none();
    await work(daemon.client(), 'before', noted);
    expect(await daemon.stop()).toBe(0);
    fill();
    const run = daemon.launch();
    expect(await run.ended).toBe(1);
    const lines = (run.output() + run.errors()).split('\n').filter((line) => line.startsWith('hsm-bridge: '));
    expect(lines, daemon.said()).toHaveLength(1);
    expect(lines[0]).toMatch(/the disk is full: free some space/);
    expect(daemon.said()).not.toMatch(/^ {4}at /m);
    expect(daemon.processes()).toEqual([]);
    rmSync(filler());
    await daemon.start();
    await expectAllKept(noted);
    await expectSoundAfterRestart(noted);
  });

  it('while a process is killed: it comes back, and acknowledged calls are kept', async () => {
    await daemon.start();
    const noted = none();
    await work(daemon.client(), 'before', noted);
    fill();
    daemon.kill('gateway');
    daemon.kill('token-host');
    await until(
      async () => succeeds(daemon.admin('/health/live')),
      () => `the gateway does not come back:\n${daemon.said()}`,
    );
    rmSync(filler());
    await until(
      () => succeeds(daemon.client().send(new CreateKeyCommand({}))),
      () => `it does not go on with free space:\n${daemon.said()}`,
    );
    await expectAllKept(noted);
    await expectSoundAfterRestart(noted);
  });
});
