// A daemon whose token is slow and hangs while it makes a key, and an account that asks all of it: other accounts, changes of keys and health go on.
import { writeFileSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  CreateKeyCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EncryptCommand,
  KMSClient,
} from '@aws-sdk/client-kms';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { bareEnvironment, Run, TestDaemon, until, type Profile } from '../support/daemon.js';
import { Interposer } from '../support/interposer/interposer.js';
import { softHsm } from '../token/soft-token.js';

const region = 'us-east-1';
const callsInFlight = 4;
/** Places that all askers together have at the host. */
const window = 4 * callsInFlight;
/** Calls of the token that one call of the API makes at most: rows are read and sealed, a key is used. */
const tokenCalls = 4;

let daemon: TestDaemon;
let interposer: Interposer;
let run: Run;
let ready: Readonly<Record<string, unknown>>;
const clients: KMSClient[] = [];

function configured(): string {
  const profile = JSON.parse(readFileSync('native-config/softhsm2.json', 'utf8')) as object;
  const value = { value: callsInFlight, because: 'a test says so' };
  const tokens = join(daemon.home, 'tokens', region);
  const settings = {
    home: daemon.home,
    listen: { port: 0 },
    admin: { port: 0 },
    accounts: ['000000000000', '111122223333'],
    regions: {
      [region]: {
        profile: join(daemon.home, 'profile.json'),
        modulePath: interposer.modulePath,
        label: `hsm-bridge ${region}`,
        pinFile: join(tokens, 'user.pin'),
        environment: { SOFTHSM2_CONF: join(tokens, 'softhsm2.conf') },
      },
    },
  };
  writeFileSync(join(daemon.home, 'profile.json'), JSON.stringify({ ...profile, callsInFlight: value }));
  const file = join(daemon.home, 'config.yaml');
  writeFileSync(file, JSON.stringify(settings), { mode: 0o600 });
  return file;
}

/** `serve` names profiles by their accounts, but for the first. */
function clientOf(profile: string): KMSClient {
  const client = new KMSClient({
    endpoint: `http://127.0.0.1:${String(ready['port'])}`,
    region,
    credentials: daemon.credentials(profile as Profile),
    maxAttempts: 1,
  });
  clients.push(client);
  return client;
}

beforeEach(async () => {
  daemon = await TestDaemon.started();
  expect(await daemon.stop()).toBe(0);
  interposer = new Interposer(daemon.home, resolve(softHsm()));
  run = new Run(daemon.home, bareEnvironment(), ['serve', '--config', configured()]);
  await until(
    () => run.code !== undefined || run.errors().includes('"message":"ready"'),
    () => run.errors(),
  );
  const lines = run.errors().trimEnd().split('\n');
  ready = lines.map((line) => JSON.parse(line) as typeof ready).find(({ message }) => message === 'ready')!;
});
afterEach(async () => {
  interposer.release();
  for (const client of clients.splice(0)) client.destroy();
  run.child.kill('SIGTERM');
  await run.ended;
  interposer.close();
  await daemon.clean();
});

async function keyOf(client: KMSClient): Promise<string> {
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  return KeyMetadata!.KeyId!;
}

it('keeps nobody else waiting beyond a turn or so', async () => {
  const [busy, other] = [clientOf('default'), clientOf('111122223333')];
  const [busyKey, otherKey] = [await keyOf(busy), await keyOf(other)];
  const before = interposer.calls('C_GenerateKey');
  interposer.hang('C_GenerateKey');
  const made = Promise.allSettled([keyOf(busy), keyOf(busy)]);
  await until(
    () => interposer.calls('C_GenerateKey') > before,
    () => run.errors(),
  );
  interposer.delay('C_Encrypt', 20);
  let [answered, isOver] = [0, false];
  const Plaintext = Buffer.from('내용');
  const one = async (): Promise<void> => {
    while (!isOver) {
      await busy.send(new EncryptCommand({ KeyId: busyKey, Plaintext }));
      answered += 1;
    }
  };
  const flood = Promise.allSettled(Array.from({ length: 40 }, one));
  await until(
    () => answered > window,
    () => run.errors(),
  );
  const calls: (() => Promise<unknown>)[] = [
    () => other.send(new DescribeKeyCommand({ KeyId: otherKey })),
    () => other.send(new EncryptCommand({ KeyId: otherKey, Plaintext })),
    // A change of a sealed row, as a change of a policy is.
    () => other.send(new DisableKeyCommand({ KeyId: otherKey })),
    async () => {
      const health = await fetch(`http://127.0.0.1:${String(ready['adminPort'])}/health/ready`);
      expect(health.status).toBe(200);
    },
  ];
  for (const call of calls) {
    const answeredBefore = answered;
    await call();
    // One window more: of what was answered before, its callers may hear now.
    expect(answered - answeredBefore).toBeLessThanOrEqual((tokenCalls + 1) * window);
  }
  isOver = true;
  expect((await flood).every(({ status }) => status === 'fulfilled')).toBe(true);
  interposer.release();
  expect((await made).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
});
