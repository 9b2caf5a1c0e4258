// Somebody who writes requests to a daemon by hand, and looks closely at what comes back.
import { CreateKeyCommand, DecryptCommand, EncryptCommand } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, expect } from 'vitest';
import { TestDaemon } from './daemon.js';
import { type AuditRecord, eventsById, expectSoundAudit } from './inside.js';
import { exchange, type RawAnswer, type RawRequest, signed, type SignOptions } from './raw-http.js';

export interface ExpectedError {
  readonly code: string;
  readonly status?: number;
  readonly message?: string | RegExp;
}

export class WireUser {
  #daemon: TestDaemon | undefined;
  #keyId = '';

  /** Of all tests of a file. His daemon is started before them; after them it ends well, its audit log sound and no stack told. */
  static ofSuite(): WireUser {
    const user = new WireUser();
    beforeAll(async () => {
      user.#daemon = await TestDaemon.started();
      const { KeyMetadata } = await user.daemon.client().send(new CreateKeyCommand({}));
      user.#keyId = KeyMetadata?.KeyId ?? '';
    });
    afterAll(async () => {
      expect(await user.daemon.stop()).toBe(0);
      await expectSoundAudit(user.daemon.home);
      expectNoStack(user.daemon.said());
      await user.daemon.clean();
    });
    return user;
  }

  get daemon(): TestDaemon {
    if (this.#daemon === undefined) throw new Error('the daemon was not started');
    return this.#daemon;
  }

  /** A key of the daemon's, that works. */
  get keyId(): string {
    return this.#keyId;
  }

  /** ListKeys, signed as it should be, except for what `options` change. */
  sign(options: Partial<SignOptions> & { readonly operation?: string } = {}): RawRequest {
    const { operation = 'ListKeys' } = options;
    return signed({
      endpoint: this.daemon.endpoint,
      credentials: this.daemon.credentials(),
      target: `TrentService.${operation}`,
      body: '{}',
      ...options,
    });
  }

  call(operation: string, input: unknown): RawRequest {
    const body = typeof input === 'string' || Buffer.isBuffer(input) ? input : JSON.stringify(input);
    return this.sign({ operation, body });
  }

  send(request: RawRequest): Promise<RawAnswer> {
    return exchange(this.daemon.endpoint, request);
  }

  /** The answer is AWS's error in every respect, and the audit has exactly one record of it. */
  expectError(answer: RawAnswer, { code, status = 400, message }: ExpectedError): AuditRecord {
    expect({ status: answer.status, text: answer.text }).toMatchObject({ status });
    expect(answer.headers.get('content-type')).toBe('application/x-amz-json-1.1');
    expect(Math.abs(Date.parse(answer.headers.get('date') ?? '') - Date.now())).toBeLessThan(60_000);
    const body = JSON.parse(answer.text) as { __type: string; message?: string };
    expect(body.__type, answer.text).toBe(code);
    if (typeof message === 'string') expect(body.message).toBe(message);
    else if (message !== undefined) expect(body.message).toMatch(message);
    expect(Object.keys(body).sort().join()).toMatch(/^__type(,message)?$/);
    expectNoStack(answer.text);
    const requestId = answer.headers.get('x-amzn-requestid') ?? '';
    const events = eventsById(this.daemon.home).get(requestId) ?? [];
    expect(events, `audit events of ${requestId}`).toHaveLength(1);
    const [event] = events;
    expect(event).toMatchObject({ errorCode: code, requestID: requestId });
    expect(event?.errorMessage).toBe(body.message);
    return event!;
  }

  async expectUnharmed(): Promise<void> {
    const kms = this.daemon.client();
    const { CiphertextBlob } = await kms.send(
      new EncryptCommand({ KeyId: this.keyId, Plaintext: Buffer.from('still here') }),
    );
    const { Plaintext } = await kms.send(new DecryptCommand({ CiphertextBlob }));
    expect(Buffer.from(Plaintext ?? []).toString()).toBe('still here');
    expect((await this.daemon.admin('/health/ready')).status).toBe(200);
  }
}

export const expectNoStack = (text: string): void =>
  expect(text).not.toMatch(/\bat [\w.<>]+ \(|\.[jt]s:\d+|node:internal|\/src\/|\/dist\//);
