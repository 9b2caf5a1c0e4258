// Which pairs are served: such as clients can make a handshake with, and no others.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, expect, it } from 'vitest';
import { FatalError } from '../../src/process/fatal.js';
import { TlsDoor } from '../../src/process/tls-door.js';
import { readTlsPair } from '../../src/process/tls-files.js';
import { makePair } from '../support/certificate.js';

const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-tls-files-'));
const files = { certificate: join(folder, 'pair.crt'), key: join(folder, 'pair.key') };
const curve = (name: string): string[] => ['ec', '-pkeyopt', `ec_paramgen_curve:${name}`];
const rules = { limits: { all: 1, ofSource: 1 }, timeoutMs: 10_000, dropped: () => undefined };

afterAll(() => rmSync(folder, { recursive: true }));

it.each([['rsa:2048'], ['rsa:3072'], curve('P-256'), curve('P-384'), curve('P-521'), ['ed25519'], ['ed448']])(
  'serves %s %s %s',
  async (...kind) => {
    makePair(folder, 'pair', 1, kind);
    chmodSync(files.key, 0o600);
    const door = new TlsDoor(readTlsPair(files), rules).listen(0, '127.0.0.1');
    await once(door, 'listening');
    const client = connect({ port: (door.address() as AddressInfo).port, rejectUnauthorized: false });
    await once(client, 'secureConnect');
    client.destroy();
    door.close();
  },
);

it.each([['rsa:1024'], curve('secp256k1'), curve('P-224'), curve('brainpoolP256r1')])(
  'refuses %s %s %s, with which no handshake would come about',
  (...kind) => {
    makePair(folder, 'pair', 1, kind);
    chmodSync(files.key, 0o600);
    expect(() => readTlsPair(files)).toThrow(FatalError);
    expect(() => readTlsPair(files)).toThrow(/TLS certificate .*pair\.crt cannot be used \(clients take/);
  },
);

it('refuses DSA', () => {
  const parameters = join(folder, 'dsa');
  execFileSync('openssl', ['dsaparam', '-out', parameters, '1024'], { stdio: 'ignore' });
  makePair(folder, 'pair', 1, [`dsa:${parameters}`]);
  chmodSync(files.key, 0o600);
  expect(() => readTlsPair(files)).toThrow(/cannot be used \(clients take/);
});
