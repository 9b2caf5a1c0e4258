// Secrets and plaintexts in memory do not reach the disk by a core dump. A core_pattern that puts dumps elsewhere is out of this test's
// sight, and where its own hard limit is 0 there are none: what is sure there too is that each process asks for none, and for no memory in it.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CreateKeyCommand, EncryptCommand } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestDaemon, until } from '../support/daemon.js';

const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-core-'));
const daemon = new TestDaemon();

const hardLimit = /^Max core file size +\w+ +(\w+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? '0';

beforeAll(async () => {
  // What the daemon is started under.
  execFileSync('prlimit', [`--core=${hardLimit}:${hardLimit}`, `--pid=${process.pid}`]);
  await daemon.start();
});
afterAll(async () => {
  await daemon.clean();
  rmSync(folder, { recursive: true });
});

const dumps = (place: string): string[] =>
  readdirSync(place, { recursive: true, encoding: 'utf8' }).filter((name) => /(^|\/)core(\.|$)/.test(name));

it('no process of a running daemon leaves one, whatever limit it was started under', async () => {
  const client = daemon.client();
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  await client.send(new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from('a plaintext') }));
  const running = daemon.processes();
  expect(running.map(({ role }) => role).sort()).toEqual(['gateway', 'supervisor', 'token-host']);
  for (const { pid } of running) {
    expect(readFileSync(`/proc/${pid}/limits`, 'latin1')).toMatch(/^Max core file size +0 +0 +bytes/m);
    expect(readFileSync(`/proc/${pid}/coredump_filter`, 'latin1')).toMatch(/^0+\n$/);
  }
  // The last to go is the supervisor, which would start the others again.
  for (const role of ['token-host', 'gateway', 'supervisor'] as const)
    process.kill(running.find((each) => each.role === role)!.pid, role === 'gateway' ? 'SIGSEGV' : 'SIGABRT');
  expect(await daemon.run.ended).toBe('SIGABRT');
  await until(
    () => daemon.processes().length === 0,
    () => daemon.said(),
  );
  expect(dumps(daemon.home)).toEqual([]);
});

it('one that is written all the same has no memory in it', () => {
  const crash = (...words: readonly string[]): boolean => {
    const program = `globalThis.held = Buffer.from(['a', 'secret', 'in', 'memory'].join('-')); process.abort()`;
    const { signal } = spawnSync(process.execPath, [...words, '-e', program], { cwd: folder });
    expect(signal).toBe('SIGABRT');
    const written = dumps(folder);
    const shown = written.some((name) => readFileSync(join(folder, name)).includes('a-secret-in-memory'));
    for (const name of written) rmSync(join(folder, name));
    return shown;
  };
  expect(crash('--import', resolve('dist/process/no-core.js'))).toBe(false);
  // Where dumps come to lie here, one without the filter shows what is looked for.
  const here = /^core(\.%p)?\n$/.test(readFileSync('/proc/sys/kernel/core_pattern', 'latin1'));
  expect(crash()).toBe(here && hardLimit === 'unlimited');
});
