// The whole program on two SoftHSM tokens in one Region, of which the Region's own lacks an algorithm: a key store is a host, a token and a PIN of its own.
import {
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
  mkdirSync,
  mkdtempSync,
  appendFileSync,
  readdirSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as kms from '@aws-sdk/client-kms';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { softHsm, sql } from '../support/inside.js';
import { failure } from '../support/line.js';
import { type Daemon, until } from './daemon.js';
import { makeTokenStore, startProgram } from './program.js';

const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-key-stores-'));
const home = join(folder, 'home');
const config = join(folder, 'bridge.yaml');
const mac = { KeySpec: 'HMAC_384', KeyUsage: 'GENERATE_VERIFY_MAC' } as const;
const Message = Buffer.from('두 번째 토큰');
const stores = { main: makeStore('main'), archive: makeStore('archive'), other: makeStore('other', 'archive') };
let daemon: Daemon | undefined;
let client: kms.KMSClient;

function makeStore(name: string, label = name): { readonly conf: string } {
  const place = join(folder, name);
  mkdirSync(place);
  const { environment, tool } = makeTokenStore(place);
  const soPin = ['--so-pin', 'so-pin-1'];
  tool('--slot-index', '0', '--init-token', '--label', label, ...soPin);
  tool('--token-label', label, '--login', '--login-type', 'so', ...soPin, '--init-pin', '--pin', `${label}-pin-1`);
  writeFileSync(join(folder, `${label}.pin`), `${label}-pin-1\n`, { mode: 0o600 });
  return { conf: environment.SOFTHSM2_CONF };
}

const tokenOf = (label: string, { conf }: { readonly conf: string }, indent: string): string =>
  ['profile: softhsm2', `modulePath: ${softHsm()}`, `label: ${label}`, `pinFile: ${label}.pin`]
    .concat(`environment: { SOFTHSM2_CONF: ${conf} }`)
    .map((line) => `${indent}${line}\n`)
    .join('');

function configure(withArchive: boolean, archive = stores.archive): void {
  const further = `    keyStores:\n      - name: archive\n${tokenOf('archive', archive, '        ')}`;
  writeFileSync(
    config,
    `home: home\nlisten: { port: 0 }\nadmin: { port: 0 }\nregions:\n  us-east-1:\n${tokenOf('main', stores.main, '    ')}${withArchive ? further : ''}`,
  );
}

interface Line {
  readonly message: string;
  readonly port?: number;
  readonly adminPort?: number;
}
const said = (): Line[] =>
  (daemon?.errors() ?? '')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
const ready = (): Line | undefined => said().find(({ message }) => message === 'ready');
const hasSaid = (words: string): Promise<void> => until(() => said().some(({ message }) => message.includes(words)));

async function start(): Promise<void> {
  const started = startProgram(['serve', '--config', config], {}, folder);
  daemon = started;
  await until(() => started.errors().includes('"message":"ready"'), started.errors);
  const text = readFileSync(join(home, 'credentials'), 'utf8');
  const value = (name: string): string => new RegExp(`^${name} = (.+)$`, 'm').exec(text)?.[1] ?? '';
  client = new kms.KMSClient({
    endpoint: `http://127.0.0.1:${ready()?.port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: value('aws_access_key_id'), secretAccessKey: value('aws_secret_access_key') },
    maxAttempts: 1,
  });
}

async function stop(): Promise<void> {
  client.destroy();
  expect(await daemon?.stop()).toBe(0);
}

const admin = async (path: string): Promise<string> =>
  (await fetch(`http://127.0.0.1:${ready()?.adminPort}${path}`)).text();
const regionsCheck = async (): Promise<unknown> =>
  (JSON.parse(await admin('/health/ready')) as { checks: Record<string, unknown> }).checks['regions'];

const newKey = async (input: kms.CreateKeyCommandInput = {}): Promise<string> =>
  (await client.send(new kms.CreateKeyCommand(input))).KeyMetadata?.KeyId ?? '';
const generateMac = async (KeyId: string): Promise<Uint8Array> =>
  (await client.send(new kms.GenerateMacCommand({ KeyId, MacAlgorithm: 'HMAC_SHA_384', Message }))).Mac!;

/** Token hosts by the configuration of SoftHSM that they were given. */
function hostOf({ conf }: { readonly conf: string }): number | undefined {
  const found = readdirSync('/proc').find((pid) => {
    try {
      const isHost = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes('token-host');
      return isHost && readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`SOFTHSM2_CONF=${conf}`);
    } catch {
      return false;
    }
  });
  return found === undefined ? undefined : Number(found);
}

// SoftHSM passes over the first name behind the minus.
beforeAll(() => appendFileSync(stores.main.conf, 'slots.mechanisms = -CKM_MD5,CKM_SHA384_HMAC\n'));
afterEach(async () => {
  daemon?.process.kill('SIGKILL');
  await daemon?.ended;
});
afterAll(() => rmSync(folder, { recursive: true }));

it('puts each key where its spec can be done, and finds it there again', async () => {
  configure(true);
  await start();
  expect(hostOf(stores.archive)).toBeUndefined();
  const [symmetric, hmac] = [await newKey(), await newKey(mac)];
  const placed = sql(home, 'select key_id, key_store from keys order by created_at_ms');
  expect(placed).toEqual([
    { key_id: symmetric, key_store: null },
    { key_id: hmac, key_store: 'archive' },
  ]);
  const made = await generateMac(hmac);
  expect(made).toHaveLength(48);
  const figures = await admin('/metrics');
  expect(figures).toContain('hsm_bridge_token_up{region="us-east-1"} 1\n');
  expect(figures).toContain('hsm_bridge_token_up{region="us-east-1",key_store="archive"} 1\n');

  // Its host is one of its own: that of the other goes on meanwhile.
  const [main, archive] = [hostOf(stores.main), hostOf(stores.archive)!];
  process.kill(archive, 'SIGKILL');
  await until(() => hostOf(stores.archive) !== undefined && hostOf(stores.archive) !== archive);
  expect(Buffer.from(await generateMac(hmac)).equals(made)).toBe(true);
  expect(hostOf(stores.main)).toBe(main);
  await stop();
  expect(readdirSync(join(home, 'pins'))).toEqual([]);

  // Without it in the file, its keys are there and cannot be used.
  configure(false);
  await start();
  expect(await failure(generateMac(hmac))).toMatch(/^KMSInternalException/);
  expect(await failure(newKey(mac))).toMatch(/^UnsupportedOperationException/);
  const { CiphertextBlob } = await client.send(new kms.EncryptCommand({ KeyId: symmetric, Plaintext: Message }));
  expect(CiphertextBlob).toBeDefined();
  const { KeyMetadata } = await client.send(new kms.DescribeKeyCommand({ KeyId: hmac }));
  expect(KeyMetadata?.KeyState).toBe('Enabled');
  await hasSaid('1 backing keys are in key stores that are not configured (archive)');
  expect(await regionsCheck()).toEqual({ ok: false, detail: 'us-east-1/archive: not configured' });
  await stop();

  // Another token under its label and its PIN is not taken for it.
  configure(true, stores.other);
  await start();
  expect(await failure(generateMac(hmac))).toMatch(/^(KMSInternal|KeyUnavailable)Exception/);
  await hasSaid('the token of us-east-1/archive does not hold the daemon');
  expect(await regionsCheck()).toEqual({ ok: false, detail: 'us-east-1/archive: token-unsafe' });
  expect(await failure(newKey(mac))).toMatch(/^KMSInternalException/);
  expect(sql(home, 'select count(*) as count from keys where material_missing = 1')).toEqual([{ count: 0 }]);
  await stop();

  configure(true);
  await start();
  expect(await regionsCheck()).toEqual({ ok: true });
  const verify = { KeyId: hmac, MacAlgorithm: 'HMAC_SHA_384', Message, Mac: made } as const;
  expect((await client.send(new kms.VerifyMacCommand(verify))).MacValid).toBe(true);
  expect(said().filter(({ message }) => /does not hold|does not know/.test(message))).toEqual([]);
  await stop();
});

it('whose PIN is wrong ends itself alone, until the next start with another', async () => {
  configure(true);
  const pinFile = join(folder, 'archive.pin');
  const right = readFileSync(pinFile);
  writeFileSync(pinFile, 'wrong-pin-1\n');
  await start();
  expect(await failure(newKey(mac))).toMatch(/^KMSInternalException/);
  await hasSaid('key store us-east-1/archive is not served until the next start: ');
  expect(await regionsCheck()).toEqual({ ok: false, detail: 'us-east-1/archive: wrong-pin' });
  expect(await admin('/metrics')).toContain('hsm_bridge_token_broken{region="us-east-1",key_store="archive"} 1\n');
  await client.send(new kms.EncryptCommand({ KeyId: await newKey(), Plaintext: Message }));
  await stop();
  writeFileSync(pinFile, right);
  utimesSync(pinFile, new Date(), new Date());
  await start();
  await generateMac(await newKey(mac));
  await stop();
});

it('is looked at by doctor like any other', async () => {
  configure(true);
  const asked = startProgram(['doctor', '--config', config], {}, folder);
  expect(await asked.ended).toBe(0);
  for (const what of ['module', 'token', 'PIN file'])
    for (const name of ['us-east-1', 'us-east-1/archive'])
      expect(asked.output()).toMatch(new RegExp(`^ok +${what} of ${name}( |$)`, 'm'));
  rmSync(join(folder, 'archive.pin'));
  const again = startProgram(['doctor', '--config', config], {}, folder);
  expect(await again.ended).toBe(1);
  expect(again.output()).toMatch(/^problem +PIN file of us-east-1\/archive: /m);
});
