// A token made of node:crypto: the independent oracle for seals, with a gate to hold calls and counters to see them.
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { BridgeError } from '../../src/kernel/errors.js';
import { daemonKeys, type Token, type TokenInfo, type Tokens } from '../../src/ports/token.js';

const unused = (): Promise<never> => Promise.reject(new Error('the store has no business with this call'));

export class FakeToken implements Token {
  sealCalls = 0;
  decryptCalls = 0;
  createCalls = 0;
  /** While set, sealRow waits for it. */
  gate: Promise<void> | undefined;
  /** Thrown by every call that is made while it is set. */
  failure: BridgeError | undefined;
  #keys: Buffer | undefined;
  readonly #file: string | undefined;

  /** `file`: holds the keys, so that several processes share one token; an existing file wins against a second creation. */
  constructor(file?: string) {
    this.#file = file;
  }

  generateKey = unused;
  holds = unused;
  scheduleDestruction = unused;
  cancelDestruction = unused;
  destroyScheduled = unused;
  inventory = unused;
  reEncrypt = unused;
  generateDataKey = unused;
  generateDataKeyWithoutPlaintext = unused;
  random = unused;

  async info(): Promise<TokenInfo> {
    return { label: 'fake', serial: '4711' };
  }

  async createDaemonKeys(): Promise<void> {
    this.createCalls++;
    if (this.failure !== undefined) throw this.failure;
    const keys = randomBytes(64);
    if (this.#file !== undefined) writeFileSync(this.#file, keys.toString('hex'), { flag: 'wx' });
    else if (this.#keys !== undefined) throw new BridgeError('KMSInternalException');
    this.#keys = keys;
  }

  async sealRow(data: Buffer): Promise<Buffer> {
    this.sealCalls++;
    await this.gate;
    return this.hmac(data);
  }

  hmac(data: Buffer): Buffer {
    return createHmac('sha256', this.#load().subarray(0, 32)).update(data).digest();
  }

  async encrypt(ckaId: Buffer, aad: Buffer, plaintext: Buffer): Promise<Buffer> {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#secretsKey(ckaId, aad), iv).setAAD(aad);
    return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  }

  async decrypt(ckaId: Buffer, aad: Buffer, sealed: Buffer): Promise<Buffer> {
    this.decryptCalls++;
    const decipher = createDecipheriv('aes-256-gcm', this.#secretsKey(ckaId, aad), sealed.subarray(0, 12));
    decipher.setAAD(aad).setAuthTag(sealed.subarray(-16));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
    } catch (error) {
      throw new BridgeError('InvalidCiphertextException', undefined, { cause: error });
    }
  }

  #secretsKey(ckaId: Buffer, aad: Buffer): Buffer {
    if (!ckaId.equals(daemonKeys.secrets) || aad.length !== 32) throw new Error('not a call the token layer takes');
    return this.#load().subarray(32);
  }

  #load(): Buffer {
    if (this.failure !== undefined) throw this.failure;
    if (this.#file !== undefined && existsSync(this.#file))
      this.#keys = Buffer.from(readFileSync(this.#file, 'utf8'), 'hex');
    if (this.#keys === undefined) throw new BridgeError('KeyUnavailableException');
    return this.#keys;
  }
}

export class FakeTokens implements Tokens {
  readonly #byRegion = new Map<string, FakeToken>();

  of(region: string): FakeToken {
    const known = this.#byRegion.get(region) ?? new FakeToken();
    this.#byRegion.set(region, known);
    return known;
  }
}
