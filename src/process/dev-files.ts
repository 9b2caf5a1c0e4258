// The files a user sources to talk to the daemon. dev.env exists exactly while the daemon is ready to serve; credentials outlive it.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TlsFiles } from '../config/listener.js';
import type { Credential } from '../model/principal.js';
import { writeDurably } from '../kernel/durable-file.js';
import { whenWritable } from './home.js';
import { isSelfSigned } from './tls-files.js';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: TlsFiles | undefined;
  readonly adminPort: number;
  readonly region: string;
}

export const devEnvPath = (home: string): string => join(home, 'dev.env');

/** A wildcard address is listened on, not connected to. */
export function endpointUrl({ host, port, tls }: Pick<Endpoint, 'host' | 'port' | 'tls'>): string {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `${tls === undefined ? 'http' : 'https'}://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

export const adminUrl = (port: number): string => `http://127.0.0.1:${port}`;

/** The values have no character that a shell reads as anything but itself, or are quoted. */
export function writeDevEnv(home: string, endpoint: Endpoint, root: Credential): void {
  const url = endpointUrl(endpoint);
  // Of what is served alone: other services' clients would get answers they cannot read.
  const lines = [
    `AWS_ENDPOINT_URL_KMS=${url}`,
    `AWS_ACCESS_KEY_ID=${root.accessKeyId}`,
    `AWS_SECRET_ACCESS_KEY=${root.secretAccessKey.reveal()}`,
    `AWS_REGION=${endpoint.region}`,
    `AWS_DEFAULT_REGION=${endpoint.region}`,
    ...trustLines(endpoint),
    `HSM_BRIDGE_ADMIN_URL=${adminUrl(endpoint.adminPort)}`,
  ];
  write(devEnvPath(home), `${lines.join('\n')}\n`);
}

/** A certificate that nobody else has signed is all that a client can be told to trust. */
function trustLines({ tls }: Endpoint): string[] {
  if (tls === undefined || !isSelfSigned(tls.certificate)) return [];
  return [`AWS_CA_BUNDLE=${shellWord(tls.certificate)}`];
}

/** POSIX shell quoting, only where it is needed. */
export function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function removeDevEnv(home: string): void {
  rmSync(devEnvPath(home), { force: true });
}

/** AWS shared-credentials format. Profiles: `default`, then in development `second-account`, in service the account's id. */
export function writeCredentials(home: string, mode: 'dev' | 'serve', roots: readonly Credential[]): void {
  const profiles = roots.map((root, index) => {
    const name = index === 0 ? 'default' : mode === 'dev' && index === 1 ? 'second-account' : root.accountId;
    return `[${name}]\naws_access_key_id = ${root.accessKeyId}\naws_secret_access_key = ${root.secretAccessKey.reveal()}\n`;
  });
  write(join(home, 'credentials'), profiles.join('\n'));
}

const write = (path: string, text: string): void => whenWritable(path, () => writeDurably(path, text));
