// What an account may take of one gateway, and that another account does not feel it.
import * as kms from '@aws-sdk/client-kms';
import { describe, expect, it } from 'vitest';
import { Budgets, type Limits, OverBudget } from '../../../src/pipeline/budgets.js';
import { accounts, createKey, failure, region, startLine, type TestLine } from '../../support/line.js';
import { exchange, signed } from '../../support/raw-http.js';

const throttled = 'ThrottlingException: Rate exceeded';
const plenty: Limits = { requestsPerSecond: 1e6, auditBytesPerSecond: 1e9, requestsInFlight: 1e6 };

/** How many of `calls` an account may make at this moment; `bytes`: the body of each. */
function admitted(budgets: Budgets, calls: number, nowMs: number, { bytes = 0, by = 'a' } = {}): number {
  let count = 0;
  for (let n = 0; n < calls; n += 1) {
    try {
      budgets.enter(by, bytes, nowMs).leave();
      count += 1;
    } catch (error) {
      if (!(error instanceof OverBudget)) throw error;
    }
  }
  return count;
}

describe('a budget', () => {
  it('gives an account its calls a second, at once or one by one, and no more after a rest', () => {
    const budgets = new Budgets({ ...plenty, requestsPerSecond: 100 }, () => undefined);
    expect(admitted(budgets, 500, 0)).toBe(100);
    expect(admitted(budgets, 500, 0, { by: 'b' })).toBe(100);
    expect(admitted(budgets, 500, 100)).toBe(10);
    expect(admitted(budgets, 500, 3_600_000)).toBe(100);
    expect(admitted(budgets, 500, 0)).toBe(0);
    expect(admitted(budgets, 500, 10)).toBe(1);
  });

  it('counts a large body for many calls, and refuses it to nobody who has a call left', () => {
    const budgets = new Budgets({ ...plenty, requestsPerSecond: 100 }, () => undefined);
    expect(admitted(budgets, 500, 0, { bytes: 8192 })).toBe(100);
    expect(admitted(budgets, 500, 1000, { bytes: 17_408 })).toBe(10);
    const few = new Budgets({ ...plenty, requestsPerSecond: 1 }, () => undefined);
    expect(admitted(few, 5, 0, { bytes: 1_048_576 })).toBe(1);
    for (let second = 1; second <= 1016; second += 1) expect(admitted(few, 1, second * 1000)).toBe(0);
    expect(admitted(few, 5, 1_017_000)).toBe(1);
  });

  it('takes what records took, also when that was more than was left', () => {
    const reasons: string[] = [];
    const budgets = new Budgets({ ...plenty, auditBytesPerSecond: 1000 }, (budget) => reasons.push(budget));
    const account = budgets.enter('a', 0, 0);
    account.spendAudit(2500);
    account.leave();
    expect(admitted(budgets, 1, 1000)).toBe(0);
    expect(admitted(budgets, 1, 1500)).toBe(0);
    expect(admitted(budgets, 1, 1501)).toBe(1);
    expect(reasons).toEqual(['auditBytes', 'auditBytes']);
  });
});

/** On a clock that stands still: nothing flows into the buckets. */
async function onLine(limits: Partial<Limits>, test: (line: TestLine) => Promise<void>): Promise<void> {
  const line = await startLine(limits);
  const nowMs = Date.now();
  line.clock.now = () => nowMs;
  try {
    await test(line);
  } finally {
    await line.close();
  }
}

const many = (client: kms.KMSClient, calls: number): Promise<string[]> =>
  Promise.all(Array.from({ length: calls }, () => failure(client.send(new kms.ListKeysCommand({})))));

describe('the line', () => {
  it('throttles an account that calls too often, audits it, and serves another', async () => {
    await onLine({ requestsPerSecond: 5 }, async (line) => {
      const answers = await many(line.client(), 40);
      expect(new Set(answers)).toEqual(new Set(['no error', throttled]));
      expect(line.throttled).toEqual(answers.filter((answer) => answer === throttled).map(() => 'requestRate'));
      expect(line.throttled).toHaveLength(35);
      expect(await many(line.client(accounts.second), 3)).toEqual(['no error', 'no error', 'no error']);
      const records = line.audit.records.map(({ record }) => record).filter(({ errorCode }) => errorCode !== undefined);
      expect(records).toHaveLength(line.throttled.length);
      expect(records[0]).toMatchObject({
        eventName: 'ListKeys',
        errorCode: 'ThrottlingException',
        userIdentity: { accountId: accounts.first },
        recipientAccountId: accounts.first,
      });
    });
  });

  it('does so before it looks at what the call says, and asks the signature first', async () => {
    await onLine({ requestsPerSecond: 1 }, async (line) => {
      const endpoint = new URL(line.endpoint);
      const post = async (body: string, secretAccessKey = `secret-of-${accounts.first}`) => {
        const credentials = { accessKeyId: `AKIA${accounts.first}`, secretAccessKey };
        const request = signed({ endpoint, credentials, region, target: 'TrentService.ListKeys', body });
        return (JSON.parse((await exchange(endpoint, request)).text) as { __type: string }).__type;
      };
      const body = `{${' '.repeat(100_000)}`;
      expect(await post(body)).toBe('SerializationException');
      expect(await post(body)).toBe('ThrottlingException');
      expect(await post(body, 'wrong')).toBe('InvalidSignatureException');
    });
  });

  it('throttles an account whose records took too much of the log', async () => {
    await onLine({ auditBytesPerSecond: 30_000 }, async (line) => {
      const client = line.client();
      const { KeyId } = await createKey(client);
      const EncryptionContext = { a: 'x'.repeat(8000) };
      const encrypt = () =>
        failure(client.send(new kms.EncryptCommand({ KeyId, Plaintext: Buffer.from('x'), EncryptionContext })));
      const answers = [];
      for (let n = 0; n < 12; n += 1) answers.push(await encrypt());
      expect(answers.slice(0, 2)).toEqual(['no error', 'no error']);
      expect(answers).toContain(throttled);
      expect(new Set(line.throttled)).toEqual(new Set(['auditBytes']));
      expect(await many(line.client(accounts.second), 1)).toEqual(['no error']);
    });
  });

  it('serves so many calls of an account at once, and gives their places back however they end', async () => {
    await onLine({ requestsInFlight: 2 }, async (line) => {
      const client = line.client();
      const { KeyId } = await createKey(client);
      let letGo = (): void => undefined;
      const held = new Promise<void>((resolve) => (letGo = resolve));
      const token = line.token(region);
      const { encrypt } = token;
      let waiting = 0;
      token.encrypt = async (...words) => {
        waiting += 1;
        await held;
        return encrypt(...words);
      };
      const call = () => failure(client.send(new kms.EncryptCommand({ KeyId, Plaintext: Buffer.from('x') })));
      const two = [call(), call()];
      while (waiting < 2) await new Promise((resolve) => setTimeout(resolve, 2));
      expect(await call()).toBe(throttled);
      expect(await many(line.client(accounts.second), 1)).toEqual(['no error']);
      letGo();
      expect(await Promise.all(two)).toEqual(['no error', 'no error']);
      for (let n = 0; n < 5; n += 1) {
        expect(await failure(client.send(new kms.DescribeKeyCommand({ KeyId: 'alias/none' })))).toMatch(/^NotFound/);
      }
      expect(line.throttled).toEqual(['requestsInFlight']);
    });
  });
});
