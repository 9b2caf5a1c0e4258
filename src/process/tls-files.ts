// The endpoint's certificate and private key: read by gateways and by `doctor`, never by the supervisor. A key that others may read is
// no secret, and a pair that does not fit is none.
import { type KeyObject, X509Certificate } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { TlsFiles } from '../config/listener.js';
import { FatalError } from './fatal.js';

export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** Throws FatalError `tls-files`; the line names the file and holds nothing of it. */
export function readTlsPair({ certificate, key }: TlsFiles): TlsPair {
  const pair = { cert: read(certificate, 'TLS certificate', false), key: read(key, 'TLS key', true) };
  const { publicKey } = usable(
    `the TLS certificate ${certificate} cannot be used`,
    () => new X509Certificate(pair.cert),
  );
  if (!isNegotiable(publicKey))
    throw new FatalError(
      'tls-files',
      `the TLS certificate ${certificate} cannot be used (clients take keys of RSA from 2048 bits, P-256, P-384, P-521, Ed25519 and Ed448)`,
    );
  usable(`the TLS key ${key} cannot be used with the certificate ${certificate}`, () => createSecureContext(pair));
  return pair;
}

const curves: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/** OpenSSL serves a pair of any kind, and every handshake fails where no client has a signature algorithm for it (RFC 8446, 4.2.3). */
function isNegotiable({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  if (type === 'rsa') return (details?.modulusLength ?? 0) >= 2048;
  if (type === 'ec') return curves.has(details?.namedCurve ?? '');
  return type === 'ed25519' || type === 'ed448';
}

/** Why clients will not take a certificate that is served, though it fits; undefined: nothing. */
export function certificateProblem({ cert }: TlsPair, nowMs: number): string | undefined {
  const { validFrom, validTo } = new X509Certificate(cert);
  if (Date.parse(validTo) <= nowMs) return `it was valid until ${validTo}`;
  return Date.parse(validFrom) > nowMs ? `it is valid from ${validFrom}` : undefined;
}

/** Whether clients must be given the certificate itself to trust, because nobody else has signed it. Throws FatalError. */
export function isSelfSigned(file: string): boolean {
  return usable(`the TLS certificate ${file} cannot be used`, () => {
    const certificate = new X509Certificate(readFileSync(file));
    return certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);
  });
}

function read(path: string, what: string, secret: boolean): string {
  return usable(`cannot read the ${what} ${path}`, () => {
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { mode } = fstatSync(file);
      if (secret && (mode & 0o077) !== 0)
        throw new FatalError('tls-files', `others may read the ${what} ${path}: type chmod 600 ${path}`);
      return readFileSync(file, 'utf8');
    } finally {
      closeSync(file);
    }
  });
}

function usable<T>(failure: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (error instanceof FatalError) throw error;
    const { code, reason } = error as NodeJS.ErrnoException & { readonly reason?: string };
    throw new FatalError('tls-files', `${failure} (${reason ?? code ?? 'it is not in PEM'})`);
  }
}
