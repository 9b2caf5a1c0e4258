// Several gateways are one service: what one of them answered holds at once in the others, and what happens to the token all of them tell.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import {
  CreateKeyCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EncryptCommand,
  type KMSClient,
  ListKeysCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { preloadUrl, TestDaemon, until } from '../support/daemon.js';

const gateways = 2;
let daemon: TestDaemon;
/** One client a gateway, in the order of their lanes; each keeps to its one connection, and a connection to its gateway. */
let clients: readonly KMSClient[];
const agents: Agent[] = [];

const armed = (): string => join(daemon.home, 'armed');

beforeAll(async () => {
  daemon = new TestDaemon();
  await daemon.start({
    env: { HSM_BRIDGE_GATEWAYS: String(gateways) },
    preload: [preloadUrl('fail-once.mjs', { armed: armed() })],
  });
  clients = await clientOfEachLane();
});
afterAll(async () => {
  for (const agent of agents) agent.destroy();
  await daemon.clean();
});

/** The lane whose log has the call. */
function laneOf(requestId: string): number {
  const folder = join(daemon.home, 'audit');
  const has = (lane: number): boolean =>
    readdirSync(join(folder, `lane-${lane}`)).some(
      (name) => name.endsWith('.jsonl') && readFileSync(join(folder, `lane-${lane}`, name), 'utf8').includes(requestId),
    );
  return Array.from({ length: gateways }, (_, lane) => lane).findIndex(has);
}

async function clientOfEachLane(): Promise<readonly KMSClient[]> {
  const found = new Map<number, KMSClient>();
  while (found.size < gateways) {
    // Opened at the same time, so that one gateway does not accept them all.
    const some = Array.from({ length: 16 }, () => {
      const httpAgent = new Agent({ keepAlive: true, maxSockets: 1 });
      agents.push(httpAgent);
      return daemon.client('us-east-1', 'default', { requestHandler: { httpAgent } });
    });
    const answers = await Promise.all(some.map((client) => client.send(new ListKeysCommand({}))));
    for (const [n, { $metadata }] of answers.entries()) found.set(laneOf($metadata.requestId ?? ''), some[n]!);
  }
  return Array.from({ length: gateways }, (_, lane) => found.get(lane)!);
}

const outcome = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'OK',
    (error: unknown) => (error as Error).name,
  );

describe('a change that one gateway has answered', () => {
  it('holds in the other: a disabled key encrypts nowhere, an enabled one everywhere', async () => {
    const [one, two] = [clients[0]!, clients[1]!];
    const { KeyMetadata } = await one.send(new CreateKeyCommand({}));
    const KeyId = KeyMetadata?.KeyId;
    const encrypt = new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') });
    const outcomes: Record<string, number> = {};
    for (let n = 0; n < 50; n++) {
      const [writer, reader] = n % 2 === 0 ? [one, two] : [two, one];
      // In both caches.
      await Promise.all([writer.send(encrypt), reader.send(encrypt)]);
      await writer.send(new DisableKeyCommand({ KeyId }));
      const disabled = await outcome(reader.send(encrypt));
      await writer.send(new EnableKeyCommand({ KeyId }));
      const seen = `${disabled}, then ${await outcome(reader.send(encrypt))}`;
      outcomes[seen] = (outcomes[seen] ?? 0) + 1;
    }
    expect(outcomes).toEqual({ 'DisabledException, then OK': 50 });
  });

  it('is read back there', async () => {
    const [one, two] = [clients[0]!, clients[1]!];
    const { KeyMetadata } = await one.send(new CreateKeyCommand({}));
    const KeyId = KeyMetadata?.KeyId;
    const late: number[] = [];
    for (let n = 0; n < 20; n++) {
      await one.send(new UpdateKeyDescriptionCommand({ KeyId, Description: String(n) }));
      const described = await two.send(new DescribeKeyCommand({ KeyId }));
      if (described.KeyMetadata?.Description !== String(n)) late.push(n);
    }
    expect(late).toEqual([]);
  });
});

/** Of the first gateway, which has the admin port. */
async function cacheOfFirst(): Promise<{ reads: number; all: number }> {
  const { text } = await daemon.admin('/metrics');
  const valueOf = (name: string): number =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.slice(name.length),
    );
  return { reads: valueOf('hsm_bridge_cache_reads'), all: valueOf('hsm_bridge_cache_drops{what="all"}') };
}

describe('a key that one gateway makes', () => {
  it("leaves the other's memory as it is, and a change there drops that key alone", async () => {
    const [one, two] = [clients[0]!, clients[1]!];
    const keys = await Promise.all(Array.from({ length: 10 }, () => one.send(new CreateKeyCommand({}))));
    const encryptAll = async (): Promise<void> => {
      for (const { KeyMetadata } of keys)
        await one.send(new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from('x') }));
    };
    // Twice: the message count of a key that is new in use is written down.
    await encryptAll();
    await encryptAll();
    const before = await cacheOfFirst();
    for (let n = 0; n < 5; n++) {
      await two.send(new CreateKeyCommand({}));
      await encryptAll();
    }
    expect(await cacheOfFirst()).toEqual(before);
    await two.send(new UpdateKeyDescriptionCommand({ KeyId: keys[0]!.KeyMetadata?.KeyId, Description: 'x' }));
    await encryptAll();
    expect(await cacheOfFirst()).toEqual({ ...before, reads: before.reads + 1 });
  });
});

describe('a value of the token that says nothing good', () => {
  const told =
    'hsm_bridge_token_troubles_total{region="us-east-1",function="C_EncryptInit",ckr="CKR_GENERAL_ERROR",lost="nothing"} 1';

  it('is a line in the log and counts in the metrics, whichever gateway asked; the token, being well, serves on', async () => {
    const two = clients[1]!;
    const { KeyMetadata } = await two.send(new CreateKeyCommand({}));
    const secret = 'nobody may print this';
    const encrypt = new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from(secret) });
    const hosts = daemon.pids('token-host');
    writeFileSync(armed(), '');
    expect(await outcome(two.send(encrypt))).toBe('KMSInternalException');
    expect(await outcome(two.send(encrypt))).toBe('OK');
    await until(
      async () => (await daemon.admin('/metrics')).text.split('\n').includes(told),
      () => `the metrics do not tell of it; the daemon said:\n${daemon.said()}`,
    );
    const lines = daemon.said().split('\n');
    expect(lines.filter((line) => line.includes('CKR_GENERAL_ERROR'))).toEqual([
      expect.stringMatching(/^error: supervisor: token of us-east-1: C_EncryptInit: CKR_GENERAL_ERROR/),
    ]);
    expect(daemon.said()).not.toContain(secret);
    expect(daemon.pids('token-host')).toEqual(hosts);
  });
});
