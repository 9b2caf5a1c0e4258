// docker/Dockerfile, carried out step by step in clean root file systems; the daemon runs there as the image's user, without privileges and
// on a read-only root, and an AWS SDK outside encrypts and decrypts with it.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateKeyCommand, DecryptCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { parseDockerfile } from './dockerfile.js';
import { copyVolume, type Image, makeImage, startInImage, type Started } from './image.js';

const buildTimeoutMs = 600_000;

const volume = mkdtempSync(join(tmpdir(), 'hsm-bridge-volume-'));
let image: Image;
let removeImage = (): Promise<void> => Promise.resolve();
let daemon: Started | undefined;

beforeAll(async () => {
  const dockerfile = parseDockerfile(readFileSync('docker/Dockerfile', 'utf8'));
  ({ image, remove: removeImage } = await makeImage(dockerfile, resolve('.')));
  await copyVolume(image, volume);
}, buildTimeoutMs);

afterEach(async () => {
  daemon?.child.kill('SIGKILL');
  await daemon?.ended;
});

afterAll(async () => {
  rmSync(volume, { recursive: true });
  await removeImage();
}, buildTimeoutMs);

test('has what runs, and neither compilers nor tools nor sources', () => {
  const has = (file: string): boolean => existsSync(join(image.root, file));
  expect(has('usr/lib/softhsm/libsofthsm2.so')).toBe(true);
  expect(has('opt/hsm-bridge/dist/main.js')).toBe(true);
  expect(['usr/bin/gcc', 'usr/bin/python3', 'usr/local/bin/npm', 'build', 'opt/hsm-bridge/src'].filter(has)).toEqual(
    [],
  );
  const installed = readdirSync(join(image.root, 'opt/hsm-bridge/node_modules'));
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, object>;
  expect(installed).toEqual(expect.arrayContaining(Object.keys(dependencies ?? {})));
  expect(Object.keys(devDependencies ?? {}).filter((name) => installed.includes(name))).toEqual([]);
});

test('serves an AWS SDK as its own user, keeps its keys over a restart, and stops when it is told to', async () => {
  const before = await startDaemon();
  const client = await clientOf(before);
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  const plaintext = Buffer.from('열쇠는 토큰을 떠나지 않는다');
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: plaintext }));
  client.destroy();
  expect(await health(before)).toBe(0);
  expect(processes().map(({ user }) => user)).toEqual(expect.arrayContaining([10001]));
  expect(processes().filter(({ user, privileges }) => user !== 10001 || privileges !== 0n)).toEqual([]);
  await stopDaemon(before);
  expect(await health(before)).toBe(1);
  expect(readdirSync(volume)).not.toContain('dev.env');

  const after = await startDaemon();
  const later = await clientOf(after);
  const { Plaintext } = await later.send(new DecryptCommand({ CiphertextBlob }));
  later.destroy();
  expect(Buffer.from(Plaintext ?? [])).toEqual(plaintext);
  await stopDaemon(after);
  expect(processes()).toEqual([]);

  const everything = readdirSync(volume, { recursive: true, withFileTypes: true });
  const plain = everything.filter((entry) => entry.isFile() || entry.isDirectory());
  const open = plain.filter((entry) => (statSync(join(entry.parentPath, entry.name)).mode & 0o077) !== 0);
  expect(open.map(({ name }) => name)).toEqual([]);
});

interface Running {
  readonly started: Started;
  readonly ports: Readonly<Record<string, string>>;
}

async function startDaemon(): Promise<Running> {
  const ports = { HSM_BRIDGE_PORT: await freePort(), HSM_BRIDGE_ADMIN_PORT: await freePort() };
  const started = startInImage(image, image.command, volume, ports);
  daemon = started;
  const file = join(volume, 'dev.env');
  const ended = started.ended.then((code) => {
    throw new Error(`the daemon ended (${code}):\n${started.output()}`);
  });
  while (!existsSync(file)) await Promise.race([sleep(50), ended]);
  ended.catch(() => undefined);
  return { started, ports };
}

/** STOPSIGNAL to the container's first process, as an engine does. */
async function stopDaemon({ started }: Running): Promise<void> {
  process.kill(started.pid() ?? Number.NaN, 'SIGTERM');
  expect(await started.ended, started.output()).toBe(0);
}

async function health({ ports }: Running): Promise<number | string> {
  return startInImage(image, image.health, volume, ports).ended;
}

/** With the credentials of dev.env, and the address at which a published port is found. */
async function clientOf({ ports }: Running): Promise<KMSClient> {
  const lines = readFileSync(join(volume, 'dev.env'), 'utf8').trimEnd().split('\n');
  const env = Object.fromEntries(lines.map((line) => line.split('=', 2) as [string, string]));
  expect(env['AWS_ENDPOINT_URL_KMS']).toBe(`http://127.0.0.1:${ports['HSM_BRIDGE_PORT']}`);
  return new KMSClient({
    endpoint: env['AWS_ENDPOINT_URL_KMS'] ?? '',
    region: env['AWS_REGION'] ?? '',
    credentials: { accessKeyId: env['AWS_ACCESS_KEY_ID'] ?? '', secretAccessKey: env['AWS_SECRET_ACCESS_KEY'] ?? '' },
  });
}

async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return String(port);
}

/** The processes that run the image's program; nothing else on a machine lies at its path. */
function processes(): { readonly user: number; readonly privileges: bigint }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        // Node, perhaps a flag for V8, the program.
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(1, 3);
        if (!words.includes('/opt/hsm-bridge/dist/main.js')) return [];
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        const field = (name: string): string => new RegExp(`^${name}:\\s*(\\w+)`, 'm').exec(status)?.[1] ?? '';
        return [{ user: Number(field('Uid')), privileges: BigInt(`0x${field('CapEff')}`) }];
      } catch {
        // Gone while it was looked at.
        return [];
      }
    });
}
