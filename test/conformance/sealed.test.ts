// Whoever can write the database gains nothing: a row changed by hand is refused, audited and shown in health, while the daemon runs and
// after it was started again; rows nobody touched are served as before.
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GetKeyPolicyCommand,
  type KMSClient,
  ListKeysCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { accountOf, TestDaemon, until } from '../support/daemon.js';
import { auditLines, eventsById, expectSoundAudit, sql } from '../support/inside.js';

const region = 'us-east-1';
const refusal = { name: 'KMSInternalException', message: 'The stored record failed its integrity check.' };
const spare = Buffer.from('spare');

interface TestKey {
  readonly keyId: string;
  readonly ciphertext: Uint8Array;
}

let daemon: TestDaemon;
let kms: KMSClient;
let touched: TestKey;
let untouched: TestKey;
let alias: string;
let made = 0;
beforeAll(async () => {
  daemon = await TestDaemon.started();
  kms = daemon.client();
  untouched = await makeKey('alias/untouched');
});
afterAll(async () => {
  await daemon.clean();
});

async function makeKey(alias: string): Promise<TestKey> {
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: alias }));
  const keyId = KeyMetadata?.KeyId ?? '';
  await kms.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId: keyId }));
  const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId: alias, Plaintext: spare }));
  return { keyId, ciphertext: CiphertextBlob! };
}

const encrypt = (KeyId: string): Promise<unknown> => kms.send(new EncryptCommand({ KeyId, Plaintext: spare }));
const decrypt = (key: TestKey): Promise<unknown> => kms.send(new DecryptCommand({ CiphertextBlob: key.ciphertext }));

/** What a client throws: its name, its message and the id of the call. */
async function failure(call: Promise<unknown>): Promise<{ name: string; message: string; requestId: string }> {
  const thrown = await call.then(
    (answer) => ({ name: 'none', message: JSON.stringify(answer), $metadata: { requestId: 'none' } }),
    (error: unknown) => error as { name: string; message: string; $metadata: { requestId: string } },
  );
  return { name: thrown.name, message: thrown.message, requestId: thrown.$metadata.requestId };
}

async function expectRefused(call: Promise<unknown>): Promise<void> {
  const { requestId, ...said } = await failure(call);
  expect(said).toEqual(refusal);
  expect(eventsById(daemon.home).get(requestId)).toMatchObject([
    { errorCode: refusal.name, errorMessage: refusal.message },
  ]);
}

/** The daemon notices a change by another process within a second. */
async function noticed(call: () => Promise<unknown>): Promise<void> {
  await until(
    async () => (await failure(call())).message === refusal.message,
    () => 'a row changed by hand is still served',
  );
}

async function expectUntouchedWorks(): Promise<void> {
  await encrypt('alias/untouched');
  await encrypt(untouched.keyId);
  await decrypt(untouched);
  await kms.send(new UpdateKeyDescriptionCommand({ KeyId: untouched.keyId, Description: 'changed' }));
}

async function expectShown(row: string): Promise<void> {
  const { status, text } = await daemon.admin('/health/ready');
  // The rest is served, so it is an alarm and not an outage.
  expect(status, text).toBe(200);
  const { checks } = JSON.parse(text) as { checks: { integrity: { ok: boolean; detail?: string } } };
  expect(checks.integrity.ok, text).toBe(false);
  expect(checks.integrity.detail).toContain(row);
  expect((await daemon.admin('/metrics')).text).toMatch(/^hsm_bridge_integrity_failures [1-9]/m);
  const refused = auditLines(daemon.home).filter(({ record }) => record.eventName === 'RowRefused');
  expect(
    refused.map(
      ({ record }) => `${String(record.serviceEventDetails?.['table'])}:${String(record.serviceEventDetails?.['id'])}`,
    ),
  ).toContain(row);
}

async function restart(): Promise<void> {
  expect(await daemon.stop()).toBe(0);
  await daemon.start();
  kms = daemon.client();
}

const changeKey = (key: TestKey, column: string, value: unknown): void => {
  sql(daemon.home, `update keys set ${column} = ? where key_id = ?`, value, key.keyId);
};
const valueOf = (key: TestKey, column: string): unknown => {
  const value = sql(daemon.home, `select ${column} from keys where key_id = ?`, key.keyId)[0]?.[column];
  return value instanceof ArrayBuffer ? Buffer.from(value) : value;
};

const open = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: '*', Action: 'kms:*', Resource: '*' }],
});

const changes: readonly (readonly [what: string, column: string, value: () => unknown])[] = [
  ['policy', 'policy', () => open],
  ['policy, to one larger than any', 'policy', () => 'x'.repeat(300_000)],
  ['state', 'status', () => 'disabled'],
  ['description', 'description', () => 'a better one'],
  ['date of deletion', 'deletion_at_ms', () => 1],
  ['tags', 'tags', () => '[{"TagKey":"department","TagValue":"finance"}]'],
  ['digest of the backing keys, to that of another key', 'generations', () => valueOf(untouched, 'generations')],
  ['version', 'version', () => 7],
  ['seal, to that of another key', 'seal', () => valueOf(untouched, 'seal')],
];

const aliasOf = (what: string): string => `alias/${what.replaceAll(/[^a-z]+/g, '-')}`;

describe('a key whose row was changed by hand is refused', () => {
  const keys = new Map<string, TestKey>();
  beforeAll(async () => {
    for (const [what] of changes) keys.set(what, await makeKey(aliasOf(what)));
    for (const [what, column, value] of changes) changeKey(keys.get(what)!, column, value());
  });

  async function expectUseless(what: string): Promise<void> {
    const key = keys.get(what)!;
    const uses: readonly (() => Promise<unknown>)[] = [
      () => encrypt(key.keyId),
      () => encrypt(aliasOf(what)),
      () => decrypt(key),
      () => kms.send(new DescribeKeyCommand({ KeyId: key.keyId })),
      () => kms.send(new GetKeyPolicyCommand({ KeyId: key.keyId })),
      () => kms.send(new UpdateKeyDescriptionCommand({ KeyId: key.keyId, Description: 'x' })),
    ];
    await noticed(() => encrypt(key.keyId));
    for (const use of uses) await expectRefused(use());
    await expectShown(`keys:${region}/${accountOf.default}/${key.keyId}`);
  }

  it.each(changes)('%s: while the daemon runs', async (what) => {
    await expectUseless(what);
  });

  it('and the daemon starts again beside them', async () => {
    await expectUntouchedWorks();
    await restart();
    // All seals are looked at beside the requests.
    await until(
      async () => ((await daemon.admin('/health/ready')).text.match(/keys:/g) ?? []).length >= keys.size,
      () => 'not all broken rows are shown',
    );
    for (const { keyId } of keys.values()) await expectShown(`keys:${region}/${accountOf.default}/${keyId}`);
    await expectUntouchedWorks();
    const { Keys } = await kms.send(new ListKeysCommand({}));
    expect(Keys?.map(({ KeyId }) => KeyId)).toContain(untouched.keyId);
  });

  it.each(changes)('%s: after the restart', async (what) => {
    await expectUseless(what);
  });

  it('and no material was touched: rows put back are good again', async () => {
    const what = 'description';
    changeKey(keys.get(what)!, 'description', aliasOf(what));
    await until(
      async () => (await failure(decrypt(keys.get(what)!))).name === 'none',
      () => 'the row put back is not served',
    );
  });

  it('account: it is refused there, and gone here', async () => {
    const key = await makeKey('alias/account');
    sql(daemon.home, 'delete from aliases where key_id = ?', key.keyId);
    changeKey(key, 'account_id', accountOf['second-account']);
    const second = daemon.client(region, 'second-account');
    await until(
      async () => (await failure(encrypt(key.keyId))).name === 'NotFoundException',
      () => 'the key is still served',
    );
    await expectRefused(second.send(new EncryptCommand({ KeyId: key.keyId, Plaintext: spare })));
    await expectUntouchedWorks();
  });
});

describe('other rows changed by hand', () => {
  beforeEach(async () => {
    made += 1;
    alias = `alias/touched-${made}`;
    touched = await makeKey(alias);
  });

  it('an alias that points elsewhere is refused; its key works by its id', async () => {
    sql(daemon.home, 'update aliases set key_id = ? where alias_name = ?', untouched.keyId, alias);
    await noticed(() => encrypt(alias));
    await expectRefused(encrypt(alias));
    await encrypt(touched.keyId);
    await expectUntouchedWorks();
    await expectShown(`aliases:${region}/${accountOf.default}/${alias}`);
    await restart();
    await expectRefused(encrypt(alias));
    await encrypt(touched.keyId);
    await expectUntouchedWorks();
    await expectShown(`aliases:${region}/${accountOf.default}/${alias}`);
  });

  const backingKeyChanges: readonly (readonly [what: string, change: (other: TestKey) => void])[] = [
    ['changed', () => sql(daemon.home, 'update backing_keys set created_at_ms = 1 where key_id = ?', touched.keyId)],
    ['taken away', () => sql(daemon.home, 'delete from backing_keys where key_id = ?', touched.keyId)],
    [
      'given to another key, whose own it replaces',
      (other) => {
        sql(daemon.home, 'delete from backing_keys where key_id = ?', other.keyId);
        sql(daemon.home, 'update backing_keys set key_id = ? where key_id = ?', other.keyId, touched.keyId);
      },
    ],
  ];

  it.each(backingKeyChanges)(
    'a key whose backing key was %s is refused, until it is put back',
    async (_what, change) => {
      const other = await makeKey(`alias/other-${made}`);
      const kept = sql(daemon.home, 'select * from backing_keys where key_id in (?, ?)', touched.keyId, other.keyId);
      change(other);
      await noticed(() => encrypt(touched.keyId));
      await expectRefused(encrypt(alias));
      await expectUntouchedWorks();
      await expectShown(`backing_keys:${region}/${accountOf.default}/${touched.keyId}`);
      await restart();
      await expectRefused(encrypt(touched.keyId));
      await expectShown(`backing_keys:${region}/${accountOf.default}/${touched.keyId}`);
      for (const row of kept) {
        const columns = Object.keys(row);
        sql(
          daemon.home,
          `insert or replace into backing_keys (${columns.join()}) values (${columns.map(() => '?').join()})`,
          ...Object.values(row),
        );
      }
      await until(
        async () => (await failure(encrypt(touched.keyId))).name === 'none',
        () => 'a backing key put back is not served',
      );
      await decrypt(touched);
      await decrypt(other);
    },
  );

  it('a credential given to another account is refused while the daemon runs', async () => {
    const { accessKeyId } = daemon.credentials('second-account');
    const second = daemon.client(region, 'second-account');
    await second.send(new ListKeysCommand({}));
    sql(daemon.home, 'update credentials set account_id = ? where access_key_id = ?', accountOf.default, accessKeyId);
    await until(
      async () => (await failure(second.send(new ListKeysCommand({})))).name !== 'none',
      () => 'a credential changed by hand still signs',
    );
    const { requestId, ...said } = await failure(second.send(new ListKeysCommand({})));
    expect(['KMSInternalException', 'UnrecognizedClientException']).toContain(said.name);
    expect(eventsById(daemon.home).get(requestId)).toMatchObject([{ errorCode: said.name }]);
    await expectUntouchedWorks();
    await expectShown(`credentials:${accessKeyId}`);
  });

  it('a credential given to another account is not obeyed after a restart either', async () => {
    const second = daemon.credentials('second-account');
    expect(await daemon.stop()).toBe(0);
    sql(
      daemon.home,
      'update credentials set account_id = ? where access_key_id = ?',
      accountOf.default,
      second.accessKeyId,
    );
    await daemon.start();
    kms = daemon.client();
    await expectUntouchedWorks();
    const client = daemon.client(region, 'default', { credentials: second });
    const { name, requestId } = await failure(client.send(new ListKeysCommand({})));
    expect(['KMSInternalException', 'UnrecognizedClientException']).toContain(name);
    expect(eventsById(daemon.home).get(requestId)).toMatchObject([{ errorCode: name }]);
    await expectShown(`credentials:${second.accessKeyId}`);
  });

  it('a credential made up by hand does not sign', async () => {
    const forged = { accessKeyId: 'AKIAFORGEDFORGED0001', secretAccessKey: 'of my own choosing' };
    const [row] = sql(daemon.home, 'select * from credentials where account_id = ?', accountOf.default);
    sql(
      daemon.home,
      'insert into credentials (access_key_id, account_id, root, created_at_ms, wrapped_secret, version, seal) values (?, ?, 1, 1, ?, 1, ?)',
      forged.accessKeyId,
      accountOf.default,
      Buffer.from(forged.secretAccessKey),
      Buffer.from(row?.['seal'] as ArrayBuffer),
    );
    const client = daemon.client(region, 'default', { credentials: forged });
    const { name } = await failure(client.send(new ListKeysCommand({})));
    expect(['KMSInternalException', 'UnrecognizedClientException']).toContain(name);
    await expectShown(`credentials:${forged.accessKeyId}`);
    await restart();
    // It is older than the account's own: a start must neither hand it out nor stumble over it.
    expect(daemon.credentials().accessKeyId).not.toBe(forged.accessKeyId);
    await expectUntouchedWorks();
  });

  it('and the audit log is whole', async () => {
    expect(await daemon.stop()).toBe(0);
    await expectSoundAudit(daemon.home);
  });
});
