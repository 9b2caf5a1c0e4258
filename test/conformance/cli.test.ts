// The AWS CLI as a user types it, with dev.env sourced by a shell.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { CreateKeyCommand } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aws, awsCli, bareEnvironment, TestDaemon } from '../support/daemon.js';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.started();
});
afterAll(async () => {
  await daemon.clean();
});

describe('the AWS command line', () => {
  it.each(['us-east-1', 'ap-northeast-2'])('works as an everyday user expects in %s', async (region) => {
    const folder = join(daemon.home, `work-${region}`);
    mkdirSync(folder);
    const env = { ...bareEnvironment(), PATH: `${dirname(awsCli())}:${bareEnvironment()['PATH'] ?? ''}` };
    const script = join(import.meta.dirname, 'everyday.sh');
    const words = [script, join(daemon.home, 'dev.env'), region, `everyday-${region}`];
    const { stdout, stderr } = await promisify(execFile)('sh', words, { cwd: folder, env });
    expect(stderr).toBe('');
    expect(stdout.trim()).toMatch(/^[0-9a-f-]{36}$/);
    const sentence = readFileSync(join(folder, 'sentence'), 'utf8');
    expect(readFileSync(join(folder, 'sentence.dec'), 'utf8')).toBe(sentence);
    expect(readFileSync(join(folder, 'sentence.read'), 'utf8')).toBe(sentence);
    expect(readFileSync(join(folder, 'sentence.enc')).includes(sentence)).toBe(false);
  });

  it('prints our errors as AWS’s', async () => {
    const described = aws(daemon.userEnvironment(), 'kms', 'describe-key', '--key-id', 'alias/no-such-alias');
    await expect(described).rejects.toThrow(
      'An error occurred (NotFoundException) when calling the DescribeKey operation: ' +
        'Alias arn:aws:kms:us-east-1:000000000000:alias/no-such-alias is not found.',
    );
  });

  it('pages through lists', async () => {
    const env = daemon.userEnvironment({ AWS_REGION: 'us-west-2', AWS_DEFAULT_REGION: 'us-west-2' });
    for (let i = 0; i < 3; i++) await daemon.client('us-west-2').send(new CreateKeyCommand({}));
    const { Keys } = (await aws(env, 'kms', 'list-keys', '--page-size', '2')) as { Keys: object[] };
    expect(Keys).toHaveLength(3);
  });
});
