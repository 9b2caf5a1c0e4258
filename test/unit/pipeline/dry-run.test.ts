// DryRun: what it tries for its answer to be true, and that it changes nothing.
import * as kms from '@aws-sdk/client-kms';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Secret } from '../../../src/kernel/secret.js';
import { failure, lineOfSuite, region } from '../../support/line.js';

const { line, client, keyId, newKey } = await lineOfSuite();
let blob: Uint8Array;
let otherBlob: Uint8Array;

const EncryptionContext = { a: '1' };
const DryRun = true;
const success = 'DryRunOperationException: The request would have succeeded, but the DryRun option is set.';
const ignoring = { DryRun, DryRunModifiers: ['IGNORE_CIPHERTEXT' as const] };

const encrypt = (input: Partial<kms.EncryptCommandInput> = {}) =>
  client.send(new kms.EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('x'), EncryptionContext, ...input }));
const decrypt = (input: Partial<kms.DecryptCommandInput>) =>
  failure(client.send(new kms.DecryptCommand({ CiphertextBlob: blob, EncryptionContext, DryRun, ...input })));
const reEncrypt = (input: Partial<kms.ReEncryptCommandInput>) =>
  failure(
    client.send(
      new kms.ReEncryptCommand({
        CiphertextBlob: blob,
        SourceEncryptionContext: EncryptionContext,
        DestinationKeyId: keyId,
        DryRun,
        ...input,
      }),
    ),
  );

beforeAll(async () => {
  blob = (await encrypt()).CiphertextBlob!;
  otherBlob = (await encrypt({ KeyId: (await newKey()).KeyId! })).CiphertextBlob!;
});

describe('DryRun', () => {
  it('says what would have succeeded, after the state of the key', async () => {
    expect(await failure(encrypt({ DryRun }))).toBe(success);
    expect(await decrypt({})).toBe(success);
    expect(await reEncrypt({})).toBe(success);
    const disabled = await newKey();
    await client.send(new kms.DisableKeyCommand({ KeyId: disabled.KeyId }));
    expect(await failure(encrypt({ KeyId: disabled.KeyId!, DryRun }))).toMatch(/^DisabledException/);
  });

  it('opens the ciphertext: a damaged one and a wrong encryption context do not succeed', async () => {
    const damaged = Buffer.from(blob);
    damaged[damaged.length - 1]! ^= 1;
    for (const answer of [
      await decrypt({ EncryptionContext: { a: '2' } }),
      await decrypt({ CiphertextBlob: damaged }),
      await reEncrypt({ SourceEncryptionContext: {} }),
      await reEncrypt({ CiphertextBlob: damaged }),
    ]) {
      expect(answer).toMatch(/^InvalidCiphertextException/);
    }
    expect(await decrypt({ KeyId: keyId, CiphertextBlob: otherBlob })).toMatch(/^IncorrectKeyException/);
  });

  it('wipes the plaintext, counts no message and leaves one record, no intent', async () => {
    const token = line.token(region);
    const opened = vi.spyOn(token, 'decrypt');
    const sealed = vi.spyOn(token, 'encrypt');
    const counted = vi.spyOn(line.services, 'countMessage');
    const before = line.audit.records.length;
    expect(await decrypt({})).toBe(success);
    expect(await reEncrypt({})).toBe(success);
    expect(opened).toHaveBeenCalledTimes(2);
    for (const { value } of opened.mock.settledResults)
      expect((value as Secret<Buffer>).reveal()).toEqual(Buffer.alloc(1));
    expect(sealed).not.toHaveBeenCalled();
    expect(counted).not.toHaveBeenCalled();
    expect(line.audit.records.slice(before).map(({ kind, record }) => [kind, record['errorCode']])).toEqual([
      ['event', 'DryRunOperationException'],
      ['event', 'DryRunOperationException'],
    ]);
    vi.restoreAllMocks();
  });

  it('asks nothing of the ciphertext with IGNORE_CIPHERTEXT, and then needs the key by name', async () => {
    const opened = vi.spyOn(line.token(region), 'decrypt');
    const wrong = { ...ignoring, CiphertextBlob: otherBlob };
    for (const CiphertextBlob of [undefined, otherBlob, Buffer.from('no ciphertext')]) {
      expect(await decrypt({ ...ignoring, CiphertextBlob, KeyId: keyId })).toBe(success);
      expect(await reEncrypt({ ...ignoring, CiphertextBlob, SourceKeyId: keyId })).toBe(success);
    }
    expect(opened).not.toHaveBeenCalled();
    vi.restoreAllMocks();
    const missing = (member: string) =>
      `ValidationException: 1 validation error detected: Value null at '${member}' failed to satisfy constraint: Member must not be null`;
    expect(await decrypt(wrong)).toBe(missing('keyId'));
    expect(await reEncrypt(wrong)).toBe(missing('sourceKeyId'));
    expect(await decrypt({ CiphertextBlob: undefined })).toBe(missing('ciphertextBlob'));
    expect(await reEncrypt({ CiphertextBlob: undefined })).toBe(missing('ciphertextBlob'));
  });

  it('does not reach the token while the log cannot be written', async () => {
    const opened = vi.spyOn(line.token(region), 'decrypt');
    line.audit.writable = false;
    const answers = [await decrypt({}), await reEncrypt({}), await failure(encrypt({ DryRun }))];
    line.audit.writable = true;
    expect(answers).toEqual(answers.map(() => 'KMSInternalException: The audit log cannot be written.'));
    expect(opened).not.toHaveBeenCalled();
    vi.restoreAllMocks();
  });
});
