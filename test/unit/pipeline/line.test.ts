// The line end to end in one process, driven by the unmodified AWS SDK over HTTP; expected texts are AWS's recorded answers.
import * as kms from '@aws-sdk/client-kms';
import { describe, expect, it, vi } from 'vitest';
import { BridgeError } from '../../../src/kernel/errors.js';
import { accounts, failure, lineOfSuite, region } from '../../support/line.js';

const { line, client, other, keyId, keyArn, plaintext, newKey, encrypt, decrypt } = await lineOfSuite();

describe('cryptography', () => {
  it('round-trips with every form of KeyId', async () => {
    const AliasName = 'alias/forms';
    await client.send(new kms.CreateAliasCommand({ AliasName, TargetKeyId: keyArn }));
    for (const form of [keyId, keyArn, AliasName, `arn:aws:kms:${region}:${accounts.first}:${AliasName}`]) {
      const { CiphertextBlob, KeyId, EncryptionAlgorithm } = await encrypt({ KeyId: form });
      expect([KeyId, EncryptionAlgorithm]).toEqual([keyArn, 'SYMMETRIC_DEFAULT']);
      const opened = await decrypt({ CiphertextBlob, KeyId: form });
      expect(Buffer.from(opened.Plaintext!).toString()).toBe(plaintext.toString());
      expect(opened.KeyMaterialId).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  it('finds the key from the ciphertext and binds the encryption context', async () => {
    const EncryptionContext = { 서비스: '결제', b: '2', __proto__: 'x' };
    const { CiphertextBlob } = await encrypt({ EncryptionContext });
    expect((await decrypt({ CiphertextBlob, EncryptionContext })).KeyId).toBe(keyArn);
    for (const wrong of [{}, { 서비스: '결제' }, { 서비스: '결제', B: '2' }]) {
      expect(await failure(decrypt({ CiphertextBlob, EncryptionContext: wrong }))).toMatch(
        /^InvalidCiphertextException/,
      );
    }
  });

  it('refuses damaged, truncated and foreign ciphertexts', async () => {
    const blob = Buffer.from((await encrypt()).CiphertextBlob!);
    for (const at of [0, 1, 5, 20, 25, 40, blob.length - 1]) {
      const changed = Buffer.from(blob);
      changed[at] = changed[at]! ^ 1;
      expect(await failure(decrypt({ CiphertextBlob: changed }))).toMatch(/^InvalidCiphertextException/);
    }
    expect(await failure(decrypt({ CiphertextBlob: blob.subarray(0, 30) }))).toMatch(/^InvalidCiphertextException/);
    const { KeyId } = await newKey();
    expect(await failure(decrypt({ CiphertextBlob: blob, KeyId }))).toBe(
      'IncorrectKeyException: The key ID in the request does not identify a CMK that can perform this operation.',
    );
    expect(await failure(decrypt({ CiphertextBlob: blob }, other))).toMatch(
      /^AccessDeniedException: User: .* is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because the resource does not exist/,
    );
    expect(await failure(decrypt({ CiphertextBlob: undefined }))).toMatch(/at 'ciphertextBlob' .* must not be null/);
  });

  it('re-encrypts under another key and context', async () => {
    const destination = await newKey();
    const { CiphertextBlob } = await encrypt({ EncryptionContext: { a: '1' } });
    const answer = await client.send(
      new kms.ReEncryptCommand({
        CiphertextBlob,
        SourceEncryptionContext: { a: '1' },
        DestinationKeyId: destination.KeyId!,
        DestinationEncryptionContext: { b: '2' },
      }),
    );
    expect(answer).toMatchObject({
      SourceKeyId: keyArn,
      KeyId: destination.Arn,
      DestinationKeyMaterialId: destination.CurrentKeyMaterialId,
      SourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
    });
    const opened = await decrypt({ CiphertextBlob: answer.CiphertextBlob, EncryptionContext: { b: '2' } });
    expect([opened.KeyId, Buffer.from(opened.Plaintext!)]).toEqual([destination.Arn, plaintext]);
  });

  it('makes data keys and random bytes', async () => {
    const made = await client.send(new kms.GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_256' }));
    expect(made.Plaintext).toHaveLength(32);
    expect((await decrypt({ CiphertextBlob: made.CiphertextBlob })).Plaintext).toEqual(made.Plaintext);
    const without = await client.send(
      new kms.GenerateDataKeyWithoutPlaintextCommand({ KeyId: keyId, NumberOfBytes: 64 }),
    );
    expect(without).not.toHaveProperty('Plaintext');
    expect((await decrypt({ CiphertextBlob: without.CiphertextBlob })).Plaintext).toHaveLength(64);
    expect((await client.send(new kms.GenerateRandomCommand({ NumberOfBytes: 1024 }))).Plaintext).toHaveLength(1024);
    expect(await failure(client.send(new kms.GenerateRandomCommand({})))).toBe(
      'ValidationException: NumberOfBytes is required.',
    );
    expect(await failure(client.send(new kms.GenerateDataKeyCommand({ KeyId: keyId })))).toMatch(
      /^ValidationException/,
    );
    const both = new kms.GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_128', NumberOfBytes: 16 });
    expect(await failure(client.send(both))).toMatch(/^ValidationException/);
  });

  it('checks algorithm, size and grant tokens', async () => {
    expect(await failure(encrypt({ EncryptionAlgorithm: 'RSAES_OAEP_SHA_1' }))).toBe(
      'InvalidKeyUsageException: Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT.',
    );
    expect(await failure(encrypt({ Plaintext: Buffer.alloc(4097) }))).toBe(
      "ValidationException: 1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096",
    );
    await encrypt({ Plaintext: Buffer.alloc(4096) });
    expect(await failure(encrypt({ GrantTokens: ['x'] }))).toMatch(/^InvalidGrantTokenException/);
  });
});

describe('audit', () => {
  it('has one record a call, an intent before each change, and no secret', async () => {
    const before = line.audit.records.length;
    const { KeyId, Arn } = await newKey({ Description: 'audited' });
    const { CiphertextBlob } = await encrypt({ KeyId, EncryptionContext: { a: 'b' } });
    await decrypt({ CiphertextBlob, EncryptionContext: { a: 'b' } });
    await failure(decrypt({ CiphertextBlob }));
    const records = line.audit.records.slice(before);
    expect(records.map(({ kind, record }) => [kind, record['eventName'], record['errorCode']])).toEqual([
      ['intent', 'CreateKey', undefined],
      ['event', 'CreateKey', undefined],
      ['event', 'Encrypt', undefined],
      ['event', 'Decrypt', undefined],
      ['event', 'Decrypt', 'InvalidCiphertextException'],
    ]);
    expect(records[1]!.record['responseElements']).toMatchObject({
      keyMetadata: {
        keyId: KeyId,
        keyState: 'Enabled',
        creationDate: expect.stringMatching(/^[A-Z][a-z]{2} \d+, \d{4}, \d+:\d\d:\d\d [AP]M$/) as string,
      },
    });
    expect(records[0]!.record['requestID']).toBe(records[1]!.record['requestID']);
    expect(records[2]!.record).toMatchObject({
      eventSource: 'kms.amazonaws.com',
      awsRegion: region,
      sourceIPAddress: '127.0.0.1',
      userIdentity: { type: 'Root', accountId: accounts.first, arn: `arn:aws:iam::${accounts.first}:root` },
      requestParameters: { keyId: KeyId, encryptionAlgorithm: 'SYMMETRIC_DEFAULT', encryptionContext: { a: 'b' } },
      responseElements: null,
      readOnly: true,
      resources: [{ accountId: accounts.first, type: 'AWS::KMS::Key', ARN: Arn }],
      recipientAccountId: accounts.first,
    });
    expect(records[3]!.record['additionalEventData']).toHaveProperty('keyMaterialId');
    const text = JSON.stringify(records);
    for (const secret of [
      plaintext.toString(),
      plaintext.toString('base64'),
      Buffer.from(CiphertextBlob!).toString('base64'),
    ]) {
      expect(text).not.toContain(secret);
    }
  });

  it('fails closed: nothing is done and nothing leaves when it cannot be written', async () => {
    line.audit.writable = false;
    const objects = line.token(region).objects.size;
    expect(await failure(newKey())).toMatch(/^KMSInternalException: The audit log cannot be written/);
    expect(await failure(encrypt())).toMatch(/^KMSInternalException/);
    expect(line.token(region).objects.size).toBe(objects);
    line.audit.writable = true;
    await encrypt();
  });
});

describe('a fault of ours', () => {
  it('is told to the operator, not to the caller, and is audited', async () => {
    line.faults.length = 0;
    const spy = vi.spyOn(line.store.keys, 'find').mockRejectedValue(new TypeError('secret detail'));
    const answer = await failure(encrypt());
    spy.mockRestore();
    expect(answer).toBe('KMSInternalException: The request was rejected because of an internal error.');
    expect(line.faults).toEqual([new TypeError('secret detail')]);
    expect(line.audit.records.at(-1)!.record).toMatchObject({
      eventName: 'Encrypt',
      errorCode: 'KMSInternalException',
    });
  });

  it('is told with its cause when it has a code of its own; what a caller did is not', async () => {
    line.faults.length = 0;
    const away = new BridgeError('DependencyTimeoutException', undefined, { cause: new Error('no answer') });
    const token = line.token(region);
    const { encrypt: works } = token;
    token.encrypt = () => Promise.reject(away);
    const { KeyId } = await newKey();
    await expect(client.send(new kms.EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }))).rejects.toMatchObject({
      name: 'DependencyTimeoutException',
    });
    token.encrypt = works;
    expect(line.faults).toEqual([away]);
    await failure(client.send(new kms.DescribeKeyCommand({ KeyId: 'alias/none' })));
    expect(line.faults).toEqual([away]);
  });
});
