// A gateway in this process with what the cases need in it: keys in every state, aliases, ciphertexts; and a client that sends any JSON, on
// connections that stay open, signed by aws4.
import { Agent, request } from 'node:http';
import aws4 from 'aws4';
import { accounts, region, startLine, type TestLine } from '../../support/line.js';
import { model } from './service-model.js';

export type Input = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** Undefined: there was no body. */
  readonly body: unknown;
}

export class World {
  readonly #line: TestLine;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #names = 0;

  private constructor(line: TestLine) {
    this.#line = line;
  }

  static async make(): Promise<World> {
    return new World(await startLine());
  }

  async end(): Promise<void> {
    this.#agent.destroy();
    await this.#line.close();
  }

  /** What the line called a fault of ours. */
  get faults(): readonly unknown[] {
    return this.#line.faults;
  }

  /** `json` undefined: a body of no bytes. */
  call(operation: string, json: unknown, accountId: string = accounts.first): Promise<Answer> {
    const { host, hostname, port } = new URL(this.#line.endpoint);
    const body = json === undefined ? '' : JSON.stringify(json);
    const toSign = {
      host,
      method: 'POST',
      path: '/',
      service: 'kms',
      region,
      body,
      headers: {
        'Content-Type': `application/x-amz-json-${model.metadata.jsonVersion}`,
        'X-Amz-Target': `${model.metadata.targetPrefix}.${operation}`,
      },
    };
    const secret = { accessKeyId: `AKIA${accountId}`, secretAccessKey: `secret-of-${accountId}` };
    const headers = aws4.sign(toSign, secret).headers ?? {};
    return new Promise((done, fail) => {
      const sending = request({ hostname, port, method: 'POST', agent: this.#agent, headers }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          done({ status: answer.statusCode ?? 0, text, body: text === '' ? undefined : JSON.parse(text) });
        });
      });
      sending.on('error', fail).end(body);
    });
  }

  /** As `call`; throws what it answers when it is no success. */
  async ok(operation: string, input: Input, accountId?: string): Promise<Input> {
    const { status, text, body } = await this.call(operation, input, accountId);
    if (status !== 200) throw new Error(`${operation}: ${text}`);
    return (body ?? {}) as Input;
  }

  async key(input: Input = {}, accountId?: string): Promise<{ readonly id: string; readonly arn: string }> {
    const { KeyMetadata } = await this.ok('CreateKey', input, accountId);
    const { KeyId, Arn } = KeyMetadata as { KeyId: string; Arn: string };
    return { id: KeyId, arn: Arn };
  }

  async disabledKey(): Promise<string> {
    const { id } = await this.key();
    await this.ok('DisableKey', { KeyId: id });
    return id;
  }

  async leavingKey(): Promise<string> {
    const { id } = await this.key();
    await this.ok('ScheduleKeyDeletion', { KeyId: id, PendingWindowInDays: 7 });
    return id;
  }

  /** Of no alias that there is. */
  newAliasName(): string {
    this.#names += 1;
    return `alias/case-${this.#names}`;
  }

  async alias(keyId: string): Promise<string> {
    const AliasName = this.newAliasName();
    await this.ok('CreateAlias', { AliasName, TargetKeyId: keyId });
    return AliasName;
  }

  async ciphertext(keyId: string, accountId?: string): Promise<string> {
    const { CiphertextBlob } = await this.ok('Encrypt', { KeyId: keyId, Plaintext: 'YQ==' }, accountId);
    return String(CiphertextBlob);
  }
}
