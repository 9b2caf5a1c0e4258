// A self-signed certificate for 127.0.0.1 and its key, by OpenSSL.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Writes `NAME.crt` and `NAME.key` into the folder. The serial number tells one from another; `kind`: the key, in OpenSSL's words. */
export function makePair(
  folder: string,
  name: string,
  serial: number,
  kind: readonly string[] = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
): void {
  const words = ['req', '-x509', '-newkey', ...kind, '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=hsm-bridge', '-addext', 'subjectAltName=IP:127.0.0.1', '-set_serial', String(serial)];
  const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)];
  execFileSync('openssl', [...words, ...names, ...files], { stdio: 'ignore' });
}
