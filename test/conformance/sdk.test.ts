// An AWS user's everyday program, unchanged, with only dev.env in its environment.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DescribeKeyCommand, DecryptCommand, ListAliasesCommand } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Environment, TestDaemon } from '../support/daemon.js';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.started();
});
afterAll(async () => {
  await daemon.clean();
});

interface Everyday {
  readonly sentence: string;
  readonly decrypted: string;
  readonly read: string;
  readonly keyArn: string;
  readonly answeredBy: readonly string[];
  readonly stored: string;
}

async function everyday(env: Environment, name: string): Promise<Everyday> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'everyday.mjs'), name], {
    env: { ...env },
  });
  return JSON.parse(stdout) as Everyday;
}

describe('the AWS SDK for JavaScript', () => {
  it.each(['us-east-1', 'ap-northeast-2'])('works as an everyday user expects in %s', async (region) => {
    // dev.env names us-east-1: another Region is chosen as AWS users choose it.
    const env = region === 'us-east-1' ? daemon.userEnvironment() : daemon.userEnvironment({ AWS_REGION: region });
    const told = await everyday(env, region);
    expect(told.decrypted).toBe(told.sentence);
    expect(told.read).toBe(told.sentence);
    expect(told.keyArn).toMatch(new RegExp(`^arn:aws:kms:${region}:000000000000:key/[0-9a-f-]{36}$`));
    expect(told.answeredBy).toEqual(Array(4).fill(told.keyArn));
    expect(told.stored).not.toContain(told.sentence);
    const { Aliases } = await daemon.client(region).send(new ListAliasesCommand({}));
    expect(Aliases?.map(({ AliasName }) => AliasName)).toEqual([`alias/everyday-${region}`]);
  });

  it('keeps the Regions apart: a key and its ciphertexts are unknown elsewhere', async () => {
    const told = await everyday(daemon.userEnvironment(), 'apart');
    const keyId = told.keyArn.split('/')[1];
    const elsewhere = daemon.client('eu-west-2');
    await expect(elsewhere.send(new DescribeKeyCommand({ KeyId: keyId }))).rejects.toMatchObject({
      name: 'NotFoundException',
      message: `Key 'arn:aws:kms:eu-west-2:000000000000:key/${String(keyId)}' does not exist`,
    });
    const { key } = JSON.parse(told.stored) as { key: string };
    await expect(
      elsewhere.send(new DecryptCommand({ CiphertextBlob: Buffer.from(key, 'base64') })),
    ).rejects.toMatchObject({ name: 'AccessDeniedException' });
  });

  it('serves the second account through its profile, and hides the first one’s keys from it', async () => {
    const told = await everyday(daemon.userEnvironment(), 'hidden');
    const keys = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'];
    const env = Object.fromEntries(Object.entries(daemon.userEnvironment()).filter(([name]) => !keys.includes(name)));
    const profile = { AWS_SHARED_CREDENTIALS_FILE: join(daemon.home, 'credentials'), AWS_PROFILE: 'second-account' };
    const second = await everyday({ ...env, ...profile }, 'second');
    expect(second.keyArn).toMatch(/^arn:aws:kms:us-east-1:111122223333:key\//);
    await expect(
      daemon.client('us-east-1', 'second-account').send(new DescribeKeyCommand({ KeyId: told.keyArn })),
    ).rejects.toMatchObject({ name: 'AccessDeniedException' });
  });
});
