// A whole gateway in this process on in-memory ports, listening on a port of its own, and SDK clients for it.
import { ConnectionTable } from '../../src/facades/aws-json/connections.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { Secret } from '../../src/kernel/secret.js';
import { systemClock } from '../../src/kernel/clock.js';
import type { AddressInfo } from 'node:net';
import * as kms from '@aws-sdk/client-kms';
import { afterAll } from 'vitest';
import { createAuthenticator } from '../../src/authn/authenticate.js';
import { rootTarget } from '../../src/authn/target.js';
import { createAwsJsonServer } from '../../src/facades/aws-json/server.js';
import { systemRandom } from '../../src/kernel/random.js';
import type { Services } from '../../src/operations/define.js';
import { Budgets, type Limits } from '../../src/pipeline/budgets.js';
import { createMessageCount } from '../../src/pipeline/message-count.js';
import { type FakeToken, FakeTokens } from './fake-token.js';
import { MemoryAudit, memoryStore } from './memory.js';

export const accounts = { first: '000000000000', second: '111122223333' } as const;
export const region = 'ap-northeast-2';

export class TestClock {
  offsetMs = 0;
  now(): number {
    return Date.now() + this.offsetMs;
  }
}

const noLimits: Limits = {
  requestsPerSecond: Number.MAX_SAFE_INTEGER,
  auditBytesPerSecond: Number.MAX_SAFE_INTEGER,
  requestsInFlight: Number.MAX_SAFE_INTEGER,
};

export async function startLine(limits: Partial<Limits> = {}) {
  const faults: unknown[] = [];
  const store = memoryStore();
  const audit = new MemoryAudit();
  const clock = new TestClock();
  const tokens = new FakeTokens();
  const token = (name: string, keyStore?: string): FakeToken => tokens.of({ region: name, keyStore });
  for (const accountId of Object.values(accounts)) {
    await store.credentials.insert({
      accessKeyId: `AKIA${accountId}`,
      accountId,
      secretAccessKey: new Secret(`secret-of-${accountId}`),
    });
  }
  const doubt: { clock: string | undefined } = { clock: undefined };
  const base = {
    store,
    audit,
    clock,
    clockDoubt: () => doubt.clock,
    random: systemRandom,
    timers: systemTimers,
    life: 'life',
    tokens,
  };
  const services: Services = { ...base, countMessage: createMessageCount(base) };
  const authenticator = createAuthenticator({
    credentials: store.credentials,
    clock,
    regions: new Set([region, 'us-east-1']),
    services: new Set(['kms', 'sts']),
    readTarget: rootTarget,
  });
  const throttled: string[] = [];
  const budgets = new Budgets({ ...noLimits, ...limits }, (budget) => throttled.push(budget));
  const server = createAwsJsonServer({
    authenticator,
    connections: new ConnectionTable({ clock: systemClock }),
    timers: systemTimers,
    line: { services, budgets, defaultRegion: 'us-east-1', fault: (error) => faults.push(error) },
    started: () => undefined,
    ended: () => undefined,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clients: kms.KMSClient[] = [];
  return {
    faults,
    doubt,
    throttled,
    budgets,
    services,
    store,
    audit,
    clock,
    tokens,
    token,
    endpoint,
    client: (accountId: string = accounts.first, inRegion: string = region): kms.KMSClient => {
      const credentials = { accessKeyId: `AKIA${accountId}`, secretAccessKey: `secret-of-${accountId}` };
      const client = new kms.KMSClient({ endpoint, region: inRegion, credentials, maxAttempts: 1 });
      clients.push(client);
      return client;
    },
    close: async (): Promise<void> => {
      clients.forEach((client) => client.destroy());
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type TestLine = Awaited<ReturnType<typeof startLine>>;

/** A line for all tests of a file, closed after them; a client of each account, and a key of the first. Awaited as the file loads. */
export async function lineOfSuite(limits: Partial<Limits> = {}) {
  const line = await startLine(limits);
  afterAll(() => line.close());
  const client = line.client();
  const newKey = (input: kms.CreateKeyCommandInput = {}) => createKey(client, input);
  const { KeyId: keyId, Arn: keyArn } = (await newKey()) as { KeyId: string; Arn: string };
  const plaintext = Buffer.from('열쇠는 토큰 안에서 태어난다');
  return {
    line,
    client,
    other: line.client(accounts.second),
    keyId,
    keyArn,
    plaintext,
    newKey,
    encrypt: (input: Partial<kms.EncryptCommandInput> = {}, by = client) =>
      by.send(new kms.EncryptCommand({ KeyId: keyId, Plaintext: plaintext, ...input })),
    decrypt: (input: kms.DecryptCommandInput, by = client) => by.send(new kms.DecryptCommand(input)),
  };
}

/** Name and message of the error that a call ends in. */
export async function failure(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no error',
    (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error)),
  );
}

export async function createKey(
  client: kms.KMSClient,
  input: kms.CreateKeyCommandInput = {},
): Promise<kms.KeyMetadata> {
  return (await client.send(new kms.CreateKeyCommand(input))).KeyMetadata!;
}
