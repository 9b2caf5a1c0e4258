// What development mode promises to the tools and people around it, when all is well and when it is not.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GenerateRandomCommand,
} from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bareEnvironment, preloadUrl, readEnv, Run, TestDaemon, until } from '../support/daemon.js';
import { asUser, auditLines, expectSoundAudit, pkcs11Tool, softHsm, tokenFolder } from '../support/inside.js';

let daemon: TestDaemon;
beforeEach(() => {
  daemon = new TestDaemon();
});
afterEach(async () => {
  await daemon.clean();
});

async function makeCiphertext(): Promise<Uint8Array> {
  const kms = daemon.client();
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
  const { CiphertextBlob } = await kms.send(
    new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from('kept') }),
  );
  return CiphertextBlob!;
}

async function expectReadable(ciphertext: Uint8Array): Promise<void> {
  const { Plaintext } = await daemon.client().send(new DecryptCommand({ CiphertextBlob: ciphertext }));
  expect(Buffer.from(Plaintext ?? []).toString()).toBe('kept');
}

/** It ended by itself with exit code 1 and said why in one line, without a stack. */
async function expectOneLine(run: Run, line: RegExp): Promise<void> {
  const code = await run.ended;
  await until(
    () => run.errors().includes('hsm-bridge: '),
    () => `it said: ${run.output()}${run.errors()}`,
  );
  const said = run.output() + run.errors();
  expect(code, said).toBe(1);
  const lines = said.split('\n').filter((each) => each.startsWith('hsm-bridge: '));
  expect(lines, said).toHaveLength(1);
  expect(lines[0]).toMatch(line);
  expect(said).not.toMatch(/^ {4}at /m);
  expect(said).not.toContain('hsm-bridge is ready');
}

describe('a home', () => {
  it('holds a dev.env with the promised names, which a shell can source, exactly while the daemon serves', async () => {
    await daemon.start();
    const file = join(daemon.home, 'dev.env');
    const url = daemon.endpoint.origin;
    const { accessKeyId, secretAccessKey } = daemon.credentials();
    const expected = {
      AWS_ENDPOINT_URL_KMS: url,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_REGION: 'us-east-1',
      AWS_DEFAULT_REGION: 'us-east-1',
      HSM_BRIDGE_ADMIN_URL: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/) as string,
    };
    expect(readEnv(file)).toEqual(expected);
    expect(readFileSync(file, 'utf8')).toMatch(/^([A-Z_]+=\S+\n){6}$/);
    const sourced = execFileSync('sh', ['-c', '. "$0"; printf %s "$AWS_SECRET_ACCESS_KEY"', file], {
      encoding: 'utf8',
    });
    expect(sourced).toBe(secretAccessKey);
    expect((await daemon.admin('/health/live')).status).toBe(200);
    expect((await daemon.admin('/health/ready')).status).toBe(200);
    expect(await daemon.stop()).toBe(0);
    expect(existsSync(file)).toBe(false);
  });

  it('is private in all its parts, also after use in several Regions', async () => {
    await daemon.start();
    await makeCiphertext();
    await daemon.client('eu-west-1').send(new CreateKeyCommand({}));
    expectPrivate(daemon.home);
    expect(await daemon.stop()).toBe(0);
    expectPrivate(daemon.home);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('is left clean by %s, and all in it outlives the restart', async (signal) => {
    await daemon.start();
    const ciphertext = await makeCiphertext();
    const credentials = readFileSync(join(daemon.home, 'credentials'), 'utf8');
    expect(await daemon.stop(signal)).toBe(0);
    expect(existsSync(join(daemon.home, 'dev.env'))).toBe(false);
    expect(readdirSync(join(daemon.home, 'run'))).toEqual([]);
    expect(readFileSync(join(daemon.home, 'credentials'), 'utf8')).toBe(credentials);
    await daemon.start();
    expect(readFileSync(join(daemon.home, 'credentials'), 'utf8')).toBe(credentials);
    await expectReadable(ciphertext);
  });

  it('says nothing of an earlier daemon that was killed, until the new one is ready', async () => {
    await daemon.start();
    const ciphertext = await makeCiphertext();
    const before = daemon.env;
    await daemon.crash();
    expect(existsSync(join(daemon.home, 'dev.env'))).toBe(true);
    await daemon.start();
    expect(daemon.env['AWS_SECRET_ACCESS_KEY']).toBe(before['AWS_SECRET_ACCESS_KEY']);
    await expectReadable(ciphertext);
  });

  it('serves one daemon: a second one says so and leaves the first alone', async () => {
    await daemon.start();
    const ciphertext = await makeCiphertext();
    const second = new Run(daemon.home, {
      ...bareEnvironment(),
      HSM_BRIDGE_HOME: daemon.home,
      HSM_BRIDGE_PORT: '0',
      HSM_BRIDGE_ADMIN_PORT: '0',
    });
    await expectOneLine(second, /another hsm-bridge runs on .+: stop it, or give this one another home/);
    expect(existsSync(join(daemon.home, 'dev.env'))).toBe(true);
    await expectReadable(ciphertext);
  });

  it('is finished with requests in flight before the daemon ends', async () => {
    await daemon.start();
    const kms = daemon.client();
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
    const calls = Array.from({ length: 64 }, () =>
      kms.send(new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from('kept') })),
    );
    // The first answer says that the others are on their way.
    await Promise.race(calls);
    daemon.run.child.kill('SIGTERM');
    const results = await Promise.allSettled(calls);
    expect(await daemon.run.ended).toBe(0);
    // Who was not heard yet is turned away; whatever was begun was answered, and nothing else was recorded.
    const reasons = results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
    expect(reasons.filter((reason) => !/ECONNREFUSED|ECONNRESET|EPIPE|socket hang up/.test(reason))).toEqual([]);
    const recorded = auditLines(daemon.home).filter(({ record }) => record.eventName === 'Encrypt');
    expect(recorded).toHaveLength(calls.length - reasons.length);
    await expectSoundAudit(daemon.home);
  });
});

describe('a port', () => {
  it.each(['HSM_BRIDGE_PORT', 'HSM_BRIDGE_ADMIN_PORT'])('%s that is in use is named in one line', async (setting) => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const { port } = holder.address() as AddressInfo;
    try {
      const run = daemon.launch({ env: { [setting]: String(port) } });
      await expectOneLine(run, new RegExp(`port ${port} is in use: stop what uses it, or set ${setting} to another`));
    } finally {
      holder.close();
    }
    expect(daemon.processes()).toEqual([]);
    expect(existsSync(join(daemon.home, 'dev.env'))).toBe(false);
    await daemon.start();
    await expectReadable(await makeCiphertext());
  });
});

describe('a PIN the token refuses', () => {
  const region = 'us-east-1';
  const attempts = (): number => {
    const log = join(daemon.home, 'logins');
    return existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0;
  };
  const counted = (): { preload: string[] } => ({
    preload: [preloadUrl('log-logins.mjs', { log: join(daemon.home, 'logins') })],
  });
  const pinFile = (name = region): string => join(tokenFolder(daemon.home, name), 'user.pin');
  const flags = (name = region): string =>
    /token flags +: (.+)/.exec(pkcs11Tool(daemon.home, name, ['--list-token-slots']).output)?.[1] ?? '';
  const line =
    /the token refuses the PIN in .+user\.pin \(CKR_PIN_INCORRECT\): correct the file, it is not tried again/;

  it('stops the daemon after one attempt, for good, until the file is corrected', async () => {
    await daemon.start();
    const ciphertext = await makeCiphertext();
    expect(await daemon.stop()).toBe(0);
    const pin = readFileSync(pinFile(), 'utf8');
    expect(flags()).not.toContain('user PIN count low');

    writeFileSync(pinFile(), 'not the PIN\n');
    await expectOneLine(daemon.launch(counted()), line);
    expect(attempts()).toBe(1);
    expect(flags()).toContain('user PIN count low');
    expect(daemon.said()).not.toContain('not the PIN');

    await expectOneLine(
      daemon.launch(counted()),
      /has refused the PIN in .+user\.pin: correct the file, it is not tried again/,
    );
    await expectOneLine(daemon.launch(counted()), /correct the file/);
    expect(attempts()).toBe(1);

    writeFileSync(pinFile(), pin);
    await daemon.start(counted());
    expect(attempts()).toBe(2);
    expect(flags()).not.toContain('user PIN count low');
    await expectReadable(ciphertext);
    expectPrivate(daemon.home);
  });

  const random = (name = region): Promise<unknown> =>
    daemon.client(name).send(new GenerateRandomCommand({ NumberOfBytes: 8 }));
  const away = { name: 'KMSInternalException' };

  /** Without a further attempt: calls there fail at once, health names it, and nobody else is the worse for it. */
  async function expectServedWithout(name: string, other: string): Promise<void> {
    await until(
      () => line.test(daemon.run.errors()),
      () => daemon.said(),
    );
    const made = attempts();
    await expect(random(name)).rejects.toMatchObject(away);
    await expect(random(name)).rejects.toMatchObject(away);
    expect(attempts()).toBe(made);
    expect(JSON.parse((await daemon.admin('/health/ready')).text)).toMatchObject({
      ready: name !== region,
      checks: { regions: { ok: false, detail: `${name}: wrong-pin` } },
    });
    await random(other);
  }

  it('ends the default Region alone, after one attempt, in a daemon that serves already', async () => {
    await daemon.start(counted());
    await random('eu-west-1');
    const made = attempts();
    writeFileSync(pinFile(), 'not the PIN\n');
    expect(daemon.kill('token-host', region)).toBe(1);
    await expectServedWithout(region, 'eu-west-1');
    expect(attempts()).toBe(made + 1);
  });

  it('ends another Region alone, after one attempt, when that Region is first used', async () => {
    await daemon.start();
    await daemon.client('eu-west-1').send(new CreateKeyCommand({}));
    expect(await daemon.stop()).toBe(0);
    writeFileSync(pinFile('eu-west-1'), 'not the PIN\n');
    await daemon.start(counted());
    expect(attempts()).toBe(1);
    await expect(random('eu-west-1')).rejects.toMatchObject(away);
    await expectServedWithout('eu-west-1', region);
    expect(attempts()).toBe(2);
  });

  it('is closed before it is read when its file lies open in the home', async () => {
    await daemon.start();
    expect(await daemon.stop()).toBe(0);
    chmodSync(pinFile(), 0o644);
    await daemon.start(counted());
    expect(lstatSync(pinFile()).mode & 0o777).toBe(0o600);
    expect(attempts()).toBe(1);
  });
});

describe('a service whose token is not there', () => {
  const serve = (region: string): Run => {
    const file = join(daemon.home, 'hsm-bridge.yaml');
    const text = `home: .\nlisten: { port: 0 }\nadmin: { port: 0 }\nregions:\n  us-east-1: { ${region} }\n`;
    writeFileSync(file, text, { mode: 0o600 });
    return new Run(daemon.home, bareEnvironment(), ['serve', '--config', file]);
  };

  beforeEach(async () => {
    await daemon.start();
    expect(await daemon.stop()).toBe(0);
  });

  it('says that the module is missing, and where it looked', async () => {
    const run = serve(
      'profile: softhsm2, modulePath: /nowhere/libvendor.so, label: x, pinFile: tokens/us-east-1/user.pin',
    );
    await expectOneLine(run, /\/nowhere\/libvendor\.so/);
  });

  it('says that the module is none', async () => {
    writeFileSync(join(daemon.home, 'libvendor.so'), 'not a library');
    const run = serve('profile: softhsm2, modulePath: ./libvendor.so, label: x, pinFile: tokens/us-east-1/user.pin');
    await expectOneLine(run, /libvendor\.so/);
  });

  it('says that no token has the label', async () => {
    const conf = join(tokenFolder(daemon.home, 'us-east-1'), 'softhsm2.conf');
    const run = serve(
      `profile: softhsm2, modulePath: "${softHsm()}", label: absent, pinFile: tokens/us-east-1/user.pin, environment: { SOFTHSM2_CONF: "${conf}" }`,
    );
    await expectOneLine(run, /no token is labelled absent: initialise it, or correct the label/);
  });
});

describe('the token of another daemon', () => {
  it('stops the start with one line before a row is judged by it, and the right one serves again', async () => {
    await daemon.start();
    const ciphertext = await makeCiphertext();
    expect(await daemon.stop()).toBe(0);
    const stranger = await TestDaemon.started();
    expect(await stranger.stop()).toBe(0);
    const folder = tokenFolder(daemon.home, 'us-east-1');
    const own = `${folder}-own`;
    cpSync(folder, own, { recursive: true });
    for (const name of ['objects', 'user.pin', 'so.pin']) {
      rmSync(join(folder, name), { recursive: true });
      cpSync(join(tokenFolder(stranger.home, 'us-east-1'), name), join(folder, name), { recursive: true });
    }
    await stranger.clean();

    await expectOneLine(
      daemon.launch(),
      /the token of us-east-1 does not hold the keys that sealed this daemon's database/,
    );
    expect(auditLines(daemon.home).filter(({ record }) => record.eventName === 'RowRefused')).toEqual([]);

    rmSync(folder, { recursive: true });
    cpSync(own, folder, { recursive: true });
    rmSync(own, { recursive: true });
    await daemon.start();
    await expectReadable(ciphertext);
  });
});

describe('a token taken away under the daemon', () => {
  it('makes its keys unavailable, not forgotten, and they come back with it', async () => {
    await daemon.start();
    const kms = daemon.client();
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
    const { CiphertextBlob } = await kms.send(
      new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from('kept') }),
    );
    expect(await daemon.stop()).toBe(0);
    const id = KeyMetadata?.CurrentKeyMaterialId?.slice(0, 32) ?? '';
    const objects = join(tokenFolder(daemon.home, 'us-east-1'), 'objects');
    const before = backup(objects);
    const removed = pkcs11Tool(daemon.home, 'us-east-1', [
      ...asUser,
      '--delete-object',
      '--type',
      'secrkey',
      '--id',
      id,
    ]);
    expect(removed.status, removed.output).toBe(0);

    await daemon.start();
    const again = daemon.client();
    const described = await again.send(new DescribeKeyCommand({ KeyId: KeyMetadata?.KeyId }));
    expect(described.KeyMetadata?.KeyState).toBe('Unavailable');
    await expect(again.send(new DecryptCommand({ CiphertextBlob }))).rejects.toMatchObject({
      name: expect.stringMatching(/^(KMSInvalidStateException|KeyUnavailableException)$/) as string,
    });
    expect(await daemon.stop()).toBe(0);

    before.restore();
    await daemon.start();
    await expectReadable(CiphertextBlob!);
  });
});

function backup(folder: string): { restore(): void } {
  const tar = execFileSync('tar', ['-C', folder, '-cpf', '-', '.'], { maxBuffer: 64 * 1024 * 1024 });
  return {
    restore() {
      for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
      execFileSync('tar', ['-C', folder, '-xpf', '-'], { input: tar });
    },
  };
}

/** Folders 0700, files 0600, sockets for nobody else. */
function expectPrivate(home: string): void {
  const wrong: string[] = [];
  const visit = (path: string): void => {
    const stats = lstatSync(path);
    if (stats.isSymbolicLink()) return;
    const mode = stats.mode & 0o7777;
    const right = stats.isDirectory() ? mode === 0o700 : stats.isSocket() ? (mode & 0o077) === 0 : mode === 0o600;
    // What the test itself left there.
    if (!right && !path.endsWith('/logins')) wrong.push(`${path} ${mode.toString(8)}`);
    if (stats.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
  };
  visit(home);
  expect(wrong).toEqual([]);
}
