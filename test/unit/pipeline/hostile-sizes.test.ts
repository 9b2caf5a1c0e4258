// What one caller may make the line do: bounds before work, whoever's key he names, and numbers in a context kept as he wrote them.
import { describe, expect, it, vi } from 'vitest';
import { accounts, lineOfSuite, region } from '../../support/line.js';
import { exchange, signed } from '../../support/raw-http.js';

const { line, keyId, keyArn } = await lineOfSuite();
const endpoint = new URL(line.endpoint);

async function call(operation: string, body: string, accountId: string = accounts.first) {
  const credentials = { accessKeyId: `AKIA${accountId}`, secretAccessKey: `secret-of-${accountId}` };
  const request = signed({ endpoint, credentials, region, target: `TrentService.${operation}`, body });
  return JSON.parse((await exchange(endpoint, request)).text) as Record<string, string>;
}

const last = () => line.audit.records.at(-1)!.record;
const encrypt = (KeyId: string, context: string): string =>
  `{"KeyId":"${KeyId}","Plaintext":"eA==","EncryptionContext":${context}}`;

describe('an encryption context', () => {
  const huge = `{${Array.from({ length: 90_000 }, (_, i) => `"${i.toString(36)}":"0"`).join()}}`;
  const large = JSON.stringify({ a: 'x'.repeat(8200) });

  it.each([accounts.first, accounts.second])(
    'that is too large is refused before the key is looked up: %s',
    async (by) => {
      const find = vi.spyOn(line.store.keys, 'find');
      for (const context of [huge, large]) {
        const before = line.audit.records.length;
        expect(await call('Encrypt', encrypt(keyArn, context), by)).toMatchObject({ __type: 'ValidationException' });
        expect(line.audit.records.length).toBe(before + 1);
        expect(last()).toMatchObject({ eventName: 'Encrypt', errorCode: 'ValidationException' });
      }
      expect(find).not.toHaveBeenCalled();
      find.mockRestore();
    },
  );

  it('keeps numbers as they were written', async () => {
    const context = '{"a":1.0,"b":1e3,"c":12345678901234567890,"d":-0,"e":true,"f":"\\"1.50"}';
    const texts = { a: '1.0', b: '1e3', c: '12345678901234567890', d: '-0', e: 'true', f: '"1.50' };
    const { CiphertextBlob = '' } = await call('Encrypt', encrypt(keyId, context));
    expect(last()['requestParameters']).toMatchObject({ encryptionContext: texts });
    const decrypt = (EncryptionContext: object) =>
      call('Decrypt', JSON.stringify({ CiphertextBlob, EncryptionContext }));
    expect(await decrypt(texts)).toMatchObject({ Plaintext: 'eA==' });
    expect(await decrypt({ ...texts, c: '12345678901234567891' })).toEqual({ __type: 'InvalidCiphertextException' });
  });
});

describe('a broken body', () => {
  it.each(['{', '', '{}{}', '{"a":1,}', '\u0000'])('has no message: %j', async (body) => {
    expect(await call('ListKeys', body)).toEqual({ __type: 'SerializationException' });
  });
});
