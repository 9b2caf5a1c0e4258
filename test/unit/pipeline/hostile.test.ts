// Hostile requests: no signature, wrong ones, bodies that are too large.
import * as kms from '@aws-sdk/client-kms';
import { describe, expect, it } from 'vitest';
import { accounts, failure, lineOfSuite, region } from '../../support/line.js';

const { line, client } = await lineOfSuite();

describe('hostile requests', () => {
  const post = async (body: string | Buffer, headers: Record<string, string> = {}, path = '/') => {
    const response = await fetch(line.endpoint + path, { method: 'POST', body, headers });
    return { status: response.status, body: (await response.json()) as { __type: string } };
  };

  it('serves nobody without a signature, and audits it', async () => {
    const before = line.audit.records.length;
    expect(await post('{}', { 'x-amz-target': 'TrentService.ListKeys' })).toMatchObject({
      status: 400,
      body: { __type: 'MissingAuthenticationTokenException' },
    });
    expect(await post('{}', { authorization: 'AWS4-HMAC-SHA256 x' })).toMatchObject({
      body: { __type: 'IncompleteSignatureException' },
    });
    expect(await post('{}', {}, '/?X-Amz-Signature=1')).toMatchObject({
      body: { __type: 'UnknownOperationException' },
    });
    expect(line.audit.records.slice(before).map(({ record }) => record['errorCode'])).toEqual([
      'MissingAuthenticationTokenException',
      'IncompleteSignatureException',
      'UnknownOperationException',
    ]);
  });

  it('refuses unknown keys, wrong secrets, Regions and clocks', async () => {
    const as = (accessKeyId: string, secretAccessKey: string, inRegion = region) => {
      const sdk = new kms.KMSClient({
        endpoint: line.endpoint,
        region: inRegion,
        credentials: { accessKeyId, secretAccessKey },
        maxAttempts: 1,
      });
      return failure(sdk.send(new kms.ListKeysCommand({}))).finally(() => sdk.destroy());
    };
    expect(await as('AKIANOBODY', 'x')).toBe(
      'UnrecognizedClientException: The security token included in the request is invalid.',
    );
    expect(await as(`AKIA${accounts.first}`, 'wrong')).toMatch(
      /^InvalidSignatureException: The request signature we calculated/,
    );
    expect(await as(`AKIA${accounts.first}`, `secret-of-${accounts.first}`, 'eu-north-1')).toMatch(/valid region/);
    line.clock.offsetMs = 6 * 60_000;
    expect(await failure(client.send(new kms.ListKeysCommand({})))).toMatch(
      /^InvalidSignatureException: Signature expired: /,
    );
    line.clock.offsetMs = 0;
  });

  it('refuses a body that is too large', async () => {
    expect(await post(Buffer.alloc(1_100_000))).toMatchObject({
      status: 413,
      body: { __type: 'RequestEntityTooLargeException' },
    });
  });
});
