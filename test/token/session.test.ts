// The token layer on a real SoftHSMv2 token of the test's own; attributes and export attempts are checked by OpenSC's pkcs11-tool.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as session from '../../src/token/host/session.js';

const modulePath = [
  '/usr/lib/softhsm/libsofthsm2.so',
  join(process.cwd(), '.setup/softhsm/usr/lib/softhsm/libsofthsm2.so'),
].find((path) => existsSync(path));
const pin = 'test-pin-4711';
const ckaId = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const aad = Buffer.from('header and context');

let home: string;
let token: session.TokenSession;
let key: session.KeyHandle;

function pkcs11Tool(...args: string[]): { status: number | null; output: string } {
  const run = spawnSync(
    'pkcs11-tool',
    ['--module', modulePath ?? '', '--token-label', 'test', '--login', '--pin', pin, ...args],
    {
      encoding: 'utf8',
    },
  );
  if (run.error) throw run.error;
  return { status: run.status, output: run.stdout + run.stderr };
}

beforeAll(() => {
  if (modulePath === undefined) throw new Error('SoftHSMv2 is missing: run scripts/setup');
  home = mkdtempSync(join(tmpdir(), 'hsm-bridge-token-'));
  mkdirSync(join(home, 'tokens'), { mode: 0o700 });
  const conf = join(home, 'softhsm2.conf');
  writeFileSync(conf, readFileSync('softhsm.conf', 'utf8').replace('@TOKENS@', join(home, 'tokens')));
  process.env['SOFTHSM2_CONF'] = conf;
  const init = [
    '--module',
    modulePath,
    '--slot-index',
    '0',
    '--init-token',
    '--label',
    'test',
    '--so-pin',
    'test-so-pin',
  ];
  execFileSync('pkcs11-tool', init);
  execFileSync('pkcs11-tool', [
    '--module',
    modulePath,
    '--token-label',
    'test',
    '--login',
    '--login-type',
    'so',
    '--so-pin',
    'test-so-pin',
    '--init-pin',
    '--pin',
    pin,
  ]);
  token = session.openSession({ modulePath, label: 'test' }, pin);
  key = session.generateAesKey(token, ckaId, 'unit');
});

afterAll(() => {
  session.closeModule(token);
  rmSync(home, { recursive: true });
});

describe('a key in the token', () => {
  it('cannot leave, says an independent tool', () => {
    const { output } = pkcs11Tool('--list-objects', '--type', 'secrkey');
    expect(output).toContain(ckaId.toString('hex'));
    expect(output).toMatch(/Usage:\s+encrypt, decrypt\n/);
    expect(output).toMatch(/Access:\s+sensitive, always sensitive, never extractable, local/);
    const read = pkcs11Tool('--read-object', '--type', 'secrkey', '--id', ckaId.toString('hex'));
    expect(read.status).not.toBe(0);
  });

  it('has its guarded attributes', () => {
    expect(session.guardedMismatches(token, key)).toEqual([]);
  });

  it.each([0, 1, 32, 4096])('seals and opens %i bytes', (length) => {
    const plaintext = Buffer.alloc(length, 0xa5);
    const sealed = session.encryptGcm(token, key, aad, plaintext);
    expect(sealed.length).toBe(12 + length + 16);
    expect(session.decryptGcm(token, key, aad, sealed)).toEqual(plaintext);
  });

  it('never opens what was changed, and goes on working', () => {
    const sealed = session.encryptGcm(token, key, aad, Buffer.from('열쇠'));
    for (let byte = 0; byte < sealed.length; byte++) {
      const changed = Buffer.from(sealed);
      changed[byte] = (changed[byte] ?? 0) ^ 1;
      expect(() => session.decryptGcm(token, key, aad, changed)).toThrow();
    }
    expect(() => session.decryptGcm(token, key, Buffer.from('another context'), sealed)).toThrow();
    expect(session.decryptGcm(token, key, aad, sealed).toString()).toBe('열쇠');
  });
});
