// Somebody plants a trigger in the database of a running daemon: no call is told that it changed something when nothing was changed.
import { CreateKeyCommand, DisableKeyCommand, EncryptCommand, type KMSClient } from '@aws-sdk/client-kms';
import Database from 'libsql';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestDaemon } from '../support/daemon.js';
import { auditLines, expectSoundAudit } from '../support/inside.js';

let daemon: TestDaemon;
let kms: KMSClient;
beforeAll(async () => {
  daemon = await TestDaemon.started();
  kms = daemon.client();
});
afterAll(() => daemon.clean());

function type(statement: string): void {
  const database = new Database(join(daemon.home, 'store/hsm-bridge.db'), { timeout: 5_000 });
  database.exec(statement);
  database.close();
}

const internal = { name: 'KMSInternalException' };

async function health(): Promise<{ status: number; store: { ok: boolean; detail?: string } }> {
  const { status, text } = await daemon.admin('/health/ready');
  return { status, store: (JSON.parse(text) as { checks: { store: { ok: boolean; detail?: string } } }).checks.store };
}

describe('a trigger that undoes each change of a key', () => {
  it('makes no call answer that it changed one; health and the log name it; without it all is as before', async () => {
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
    const KeyId = KeyMetadata?.KeyId;
    const encrypt = (): Promise<unknown> => kms.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
    await encrypt();
    expect(await health()).toEqual({ status: 200, store: { ok: true } });
    type(
      `create trigger quiet after update on keys begin
         update keys set status = old.status, version = old.version, seal = old.seal where key_id = old.key_id; end`,
    );
    await expect(kms.send(new DisableKeyCommand({ KeyId }))).rejects.toMatchObject(internal);
    await expect(encrypt()).rejects.toMatchObject(internal);
    const detail = 'it has a trigger quiet that this version does not make';
    expect(await health()).toEqual({ status: 503, store: { ok: false, detail } });
    const refused = auditLines(daemon.home).filter(({ record }) => record.eventName === 'StoreRefused');
    expect(refused.map(({ record }) => record.serviceEventDetails)).toEqual([{ fault: detail }]);
    type('drop trigger quiet');
    await expect.poll(health, { timeout: 10_000 }).toEqual({ status: 200, store: { ok: true } });
    await kms.send(new DisableKeyCommand({ KeyId }));
    await expect(encrypt()).rejects.toMatchObject({ name: 'DisabledException' });
  });

  it('keeps the daemon from starting, in one line', async () => {
    expect(await daemon.stop()).toBe(0);
    await expectSoundAudit(daemon.home);
    type('create trigger quiet after update on keys begin select 1; end');
    const run = daemon.launch();
    expect(await run.ended).toBe(1);
    expect(run.errors()).toContain('hsm-bridge.db: it has a trigger quiet that this version does not make');
    type('drop trigger quiet');
    await daemon.start();
  });
});
