// What a record says of a call that is only known from the whole of it: when it was completed, and who claimed to make it.
import { EncryptCommand } from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createKey, region } from '../../support/line.js';
import { type BareLine, startBareLine, until } from '../facades/bare-line.js';

let line: BareLine;
beforeEach(async () => {
  line = await startBareLine();
});
afterEach(() => line.close());

const last = (): Record<string, unknown> => line.audit.records.at(-1)!.record;

it('has the time at which the call was completed', async () => {
  const client = line.client();
  const { KeyId } = await createKey(client);
  const token = line.token(region);
  const { encrypt } = token;
  token.encrypt = async (...words) => {
    line.clock.offsetMs += 60_000;
    return encrypt(...words);
  };
  const before = line.clock.now();
  await client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
  const completed = Date.parse(String(last()['eventTime']));
  // Whole seconds.
  expect(completed).toBeGreaterThan(before + 59_000 - 1);
  expect(completed).toBeLessThanOrEqual(line.clock.now());
});

describe('a caller nobody could authenticate', () => {
  async function identityOf(authorization: string): Promise<unknown> {
    const speaker = await line.speaker();
    await speaker.say(
      `POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Date: 20261125T120000Z\r\nauthorization: ${authorization}\r\nContent-Length: 0\r\n\r\n`,
    );
    await until(() => speaker.text.includes('__type'));
    return last()['userIdentity'];
  }
  const scoped = (id: string): string =>
    `AWS4-HMAC-SHA256 Credential=${id}/20261125/${region}/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=${'0'.repeat(64)}`;

  it.each([
    ['of an access key that is another’s', 'AKIA000000000000'],
    ['of one that is nobody’s', 'AKIAIOSFODNN7EXAMPLE'],
    ['of the longest form', 'A'.repeat(128)],
  ])('is recorded under the id he claimed: %s', async (_what, id) => {
    expect(await identityOf(scoped(id))).toEqual({ type: 'Unknown', accessKeyId: id });
    expect(await identityOf(`AWS4-HMAC-SHA256 Credential=${id}/x`)).toEqual({ type: 'Unknown', accessKeyId: id });
  });

  it.each([
    ['too short', scoped('AKIA')],
    ['too long', scoped('A'.repeat(129))],
    ['odd', scoped('AKIA"},{<script>EXAMPLE')],
    ['in small letters', scoped('akiaiosfodnn7example')],
    ['unscoped', 'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE'],
    ['absent', 'Basic QUtJQUlPU0ZPRE5ON0VYQU1QTEU='],
  ])('is recorded without an id that is %s', async (_what, authorization) => {
    expect(await identityOf(authorization)).toEqual({ type: 'Unknown' });
  });
});
