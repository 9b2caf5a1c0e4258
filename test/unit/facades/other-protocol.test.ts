// The line behind a protocol that is neither signed nor JSON: a caller known by other means, and an input that came as words.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BridgeError } from '../../../src/kernel/errors.js';
import { operations } from '../../../src/operations/index.js';
import type { Incoming } from '../../../src/pipeline/incoming.js';
import { type Line, perform } from '../../../src/pipeline/perform.js';
import type { Facade } from '../../../src/ports/facade.js';
import { inputReader } from '../../../src/shapes/read.js';
import { accounts, region, startLine, type TestLine } from '../../support/line.js';

let line: TestLine;
beforeAll(async () => {
  line = await startLine();
});
afterAll(() => line.close());

const calling = (words: string, accountId: string | undefined): Incoming => {
  const [name = '', ...members] = words.split(' ');
  return {
    sourceIp: 'unix',
    userAgent: 'words',
    service: 'kms',
    operationName: name,
    bodyBytes: words.length,
    authenticate: () => {
      if (accountId === undefined) throw new BridgeError('AccessDeniedException');
      const arn = `arn:aws:iam::${accountId}:root`;
      const principal = { type: 'Root', accountId, arn, accessKeyId: 'of-the-peer' } as const;
      return Promise.resolve({ principal, region, service: 'kms' });
    },
    proved: () => undefined,
    operation: () => operations.kms.get(name)!,
    input: (operation) =>
      inputReader(operation.input)(Object.fromEntries(members.map((member) => member.split('=') as [string, string]))),
    claimedKeyId: () => undefined,
  };
};

/** What a façade asks of the gateway is all that it says. */
const words: Facade<{ readonly line: Line; readonly say: string; readonly heard: string[] }> = {
  async listen({ line, say, heard }) {
    const outcome = await perform(line, calling(say, accounts.first));
    heard.push('error' in outcome ? outcome.error.code : JSON.stringify(outcome.result));
    return { drain: () => Promise.resolve() };
  },
};

const lineOf = (): Line => ({
  services: line.services,
  budgets: line.budgets,
  defaultRegion: region,
  fault: (error) => line.faults.push(error),
});
const lastRecord = (): unknown => line.audit.records.at(-1)!.record;

it('is served and recorded like any other', async () => {
  const heard: string[] = [];
  await words.listen({ line: lineOf(), say: 'CreateKey Description=words', heard });
  const made = JSON.parse(heard[0]!) as { KeyMetadata: { Description: string; AWSAccountId: string } };
  expect(made.KeyMetadata).toMatchObject({ Description: 'words', AWSAccountId: accounts.first });
  expect(lastRecord()).toMatchObject({
    eventSource: 'kms.amazonaws.com',
    eventName: 'CreateKey',
    sourceIPAddress: 'unix',
    userIdentity: { accountId: accounts.first, accessKeyId: 'of-the-peer' },
  });
});

it('leaves a record of an input that cannot be read, which names the operation', async () => {
  const heard: string[] = [];
  await words.listen({ line: lineOf(), say: 'DescribeKey KeyId=', heard });
  expect(heard).toEqual(['ValidationException']);
  expect(lastRecord()).toMatchObject({ eventName: 'DescribeKey', errorCode: 'ValidationException', readOnly: true });
});

it('leaves a record of a caller who is nobody', async () => {
  const outcome = await perform(lineOf(), calling('CreateKey', undefined));
  expect(outcome).toMatchObject({ error: { code: 'AccessDeniedException' } });
  expect(lastRecord()).toMatchObject({ eventName: 'CreateKey', userIdentity: { type: 'Unknown' } });
});
