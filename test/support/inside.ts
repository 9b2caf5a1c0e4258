// What a test sees of a daemon behind its back: audit files, database rows, objects in the token. Independent of the daemon's own readers
// where one exists (pkcs11-tool); it changes nothing unless asked to.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import Database from 'libsql';
import { expect } from 'vitest';
import { verifyLane } from '../../src/audit/verify.js';
import { bareEnvironment, type Environment } from './daemon.js';

export interface AuditRecord {
  readonly eventName: string;
  readonly eventType: string;
  readonly eventTime: string;
  readonly awsRegion: string;
  readonly sourceIPAddress: string;
  readonly userAgent: string;
  readonly requestID: string;
  readonly eventID: string;
  readonly errorCode?: string;
  readonly errorMessage?: string;
  readonly userIdentity: Readonly<Record<string, string>>;
  readonly requestParameters: Readonly<Record<string, unknown>> | null;
  readonly resources?: readonly { readonly ARN: string }[];
  readonly serviceEventDetails?: Readonly<Record<string, unknown>>;
}

export interface AuditLine {
  readonly lane: number;
  readonly seq: number;
  readonly prev: string;
  readonly kind: 'event' | 'intent';
  readonly record: AuditRecord;
}

/** All whole lines of lane 0, in order. */
export function auditLines(home: string): readonly AuditLine[] {
  const folder = join(home, 'audit/lane-0');
  const files = readdirSync(folder).filter((name) => name.endsWith('.jsonl'));
  return files.sort().flatMap((name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as AuditLine);
  });
}

/** Events by requestID. */
export function eventsById(home: string): ReadonlyMap<string, readonly AuditRecord[]> {
  const events = new Map<string, AuditRecord[]>();
  for (const { kind, record } of auditLines(home)) {
    if (kind !== 'event') continue;
    const same = events.get(record.requestID);
    if (same === undefined) events.set(record.requestID, [record]);
    else same.push(record);
  }
  return events;
}

/** Of a daemon that has stopped: the chain holds, and each intent has exactly one outcome. */
export async function expectSoundAudit(home: string): Promise<void> {
  const verdict = await verifyLane({ directory: join(home, 'audit'), lane: 0, parse: true });
  expect(verdict.damage, 'the audit chain').toBeUndefined();
  const events = eventsById(home);
  const intents = auditLines(home).filter(({ kind }) => kind === 'intent');
  const unsettled = intents
    .map(({ record }) => ({ ...record, outcomes: events.get(record.requestID)?.length ?? 0 }))
    .filter(({ outcomes }) => outcomes !== 1)
    .map(({ eventName, requestID, outcomes }) => ({ eventName, requestID, outcomes }));
  expect(unsettled, 'intents without exactly one outcome').toEqual([]);
}

export type Row = Readonly<Record<string, unknown>>;

/** Runs one SQL statement on the daemon's database, beside the daemon, and as no foreign key would hinder its administrator. */
export function sql(home: string, text: string, ...parameters: readonly unknown[]): readonly Row[] {
  const database = new Database(join(home, 'store/hsm-bridge.db'), { timeout: 5_000 });
  try {
    database.pragma('foreign_keys = OFF');
    const statement = database.prepare(text);
    if (statement.reader) return statement.all([...parameters]) as Row[];
    const { changes } = statement.run([...parameters]);
    if (changes === 0) throw new Error(`nothing was changed by: ${text}`);
    return [];
  } finally {
    database.close();
  }
}

export function softHsm(): string {
  const path = ['/usr/lib/softhsm/libsofthsm2.so', resolve('.setup/softhsm/usr/lib/softhsm/libsofthsm2.so')].find(
    (candidate) => existsSync(candidate),
  );
  if (path === undefined) throw new Error('SoftHSMv2 is missing: run scripts/setup');
  return path;
}

export const tokenFolder = (home: string, region: string): string => join(home, 'tokens', region);

/** OpenSC's pkcs11-tool on the daemon's token of a Region, logged in as the user when `words` ask for it. */
export function pkcs11Tool(
  home: string,
  region: string,
  words: readonly string[],
): { readonly status: number | null; readonly output: string } {
  const folder = tokenFolder(home, region);
  const env: Environment = {
    ...bareEnvironment(),
    SOFTHSM2_CONF: join(folder, 'softhsm2.conf'),
    USER_PIN: readFileSync(join(folder, 'user.pin'), 'utf8').trim(),
  };
  const run = spawnSync(
    'pkcs11-tool',
    ['--module', softHsm(), '--token-label', `hsm-bridge ${region}`, ...words],
    // The output of a full token is long.
    { encoding: 'utf8', env: { ...env }, maxBuffer: 256 * 1024 * 1024 },
  );
  if (run.error) throw run.error;
  return { status: run.status, output: run.stdout + run.stderr };
}

export const asUser = ['--login', '--pin', 'env:USER_PIN'] as const;

/** CKA_IDs of all objects in a Region's token, in hex, ascending. */
export function tokenObjects(home: string, region: string): readonly string[] {
  const { status, output } = pkcs11Tool(home, region, [...asUser, '--list-objects']);
  if (status !== 0) throw new Error(`pkcs11-tool: ${output}`);
  return [...output.matchAll(/^ {2}ID: +([0-9a-f]+)$/gm)].map(([, id]) => id ?? '').sort();
}

/** Of the daemon's own keys (docs: "AWS owned keys"). */
export const daemonKeyIds = ['hsmb-row-seal-01', 'hsmb-secrets--01'].map((id) => Buffer.from(id).toString('hex'));

/** CKA_IDs that the token of a Region should hold, by the database, in hex, ascending. */
export function expectedObjects(home: string, region: string): readonly string[] {
  const rows = sql(home, 'select cka_id from backing_keys where region = ?', region);
  return [...rows.map((row) => String(row['cka_id'])), ...daemonKeyIds].sort();
}
