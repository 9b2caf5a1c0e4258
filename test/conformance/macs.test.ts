// MACs of the whole daemon, against OpenSC's pkcs11-tool, which asks the same objects in the token by itself.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateKeyCommand,
  GenerateMacCommand,
  ScheduleKeyDeletionCommand,
  VerifyMacCommand,
  type KMSClient,
} from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestDaemon } from '../support/daemon.js';
import { asUser, auditLines, pkcs11Tool, sql } from '../support/inside.js';

const region = 'us-east-1';
const sizes = ['224', '256', '384', '512'] as const;
const Message = Buffer.from('한 번도 밖에 나온 적 없는 열쇠로');
let daemon: TestDaemon;
let kms: KMSClient;
let folder: string;
beforeAll(async () => {
  daemon = await TestDaemon.started();
  kms = daemon.client(region);
  folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-macs-'));
  writeFileSync(join(folder, 'message'), Message);
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await daemon.clean();
});

async function newKey(size: (typeof sizes)[number]): Promise<{ KeyId: string; ckaId: string }> {
  const input = { KeySpec: `HMAC_${size}`, KeyUsage: 'GENERATE_VERIFY_MAC' } as const;
  const { KeyMetadata } = await kms.send(new CreateKeyCommand(input));
  const KeyId = KeyMetadata?.KeyId ?? '';
  const [backing] = sql(daemon.home, 'select cka_id from backing_keys where key_id = ?', KeyId);
  return { KeyId, ckaId: String(backing?.['cka_id']) };
}

describe.each(sizes)('a key of %s bits', (size) => {
  const MacAlgorithm = `HMAC_SHA_${size}` as const;

  it('makes the MACs that the token makes for others, and verifies them', async () => {
    const { KeyId, ckaId } = await newKey(size);
    const { Mac } = await kms.send(new GenerateMacCommand({ KeyId, MacAlgorithm, Message }));
    const mechanism = `SHA${size}-HMAC`;
    const files = ['--input-file', join(folder, 'message'), '--output-file', join(folder, 'mac')];
    const words = [...asUser, '--sign', '--mechanism', mechanism, '--id', ckaId, ...files];
    const { status, output } = pkcs11Tool(daemon.home, region, words);
    expect(status, output).toBe(0);
    const theirs = readFileSync(join(folder, 'mac'));
    expect(theirs).toHaveLength(Number(size) / 8);
    expect(Buffer.from(Mac ?? []).toString('hex')).toBe(theirs.toString('hex'));
    expect(await kms.send(new VerifyMacCommand({ KeyId, MacAlgorithm, Message, Mac: theirs }))).toMatchObject({
      MacValid: true,
    });
  });

  it('was made in the token, stays there, and makes MACs only', async () => {
    const { ckaId } = await newKey(size);
    const { output } = pkcs11Tool(daemon.home, region, [...asUser, '--list-objects']);
    const object = output.split(/^(?=\S.* Object)/m).find((block) => block.includes(ckaId)) ?? '';
    const lineOf = (name: string) => new RegExp(`^ {2}${name}: +(.+)$`, 'm').exec(object)?.[1] ?? output;
    expect(lineOf('Access').split(', ').sort()).toEqual([
      'always sensitive',
      'local',
      'never extractable',
      'sensitive',
    ]);
    // It prints `sign` for private keys only.
    expect(lineOf('Usage')).toMatch(/^(sign, )?verify$/);
    const read = ['--read-object', '--type', 'secrkey', '--id', ckaId];
    expect(pkcs11Tool(daemon.home, region, [...asUser, ...read]).output).toContain('CKR_ATTRIBUTE_SENSITIVE');
  });
});

it('survives a restart, waits for its deletion like any other, and leaves neither message nor MAC in the log', async () => {
  const { KeyId } = await newKey('256');
  const input = { KeyId, MacAlgorithm: 'HMAC_SHA_256', Message } as const;
  const { Mac } = await kms.send(new GenerateMacCommand(input));
  await daemon.stop();
  await daemon.start();
  kms = daemon.client(region);
  expect((await kms.send(new VerifyMacCommand({ ...input, Mac }))).MacValid).toBe(true);
  await kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  await expect(kms.send(new VerifyMacCommand({ ...input, Mac }))).rejects.toThrow(/is pending deletion/);
  const log = JSON.stringify(auditLines(daemon.home));
  for (const hidden of [Message, Buffer.from(Mac ?? [])]) {
    expect(log).not.toContain(hidden.toString('base64'));
    expect(log).not.toContain(hidden.toString('hex'));
    expect(log).not.toContain(hidden.toString('utf8'));
  }
});
