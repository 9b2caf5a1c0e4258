// The token's calls as requests of the wire, for one asker: what each is made of, and what its answer means.
import { isDaemonKey, type Sealed, type Token, type TokenInfo } from '../ports/token.js';
import { isRandomLength, maxRandomBytes, requests, splitCkaIds, u32, u64, type Request } from './wire.js';

/** Makes one request; resolves with what `decode` makes of its answer. RangeError when a field has a length of its own making. */
export type Ask = <Fields extends readonly Buffer[], Result>(
  request: Request<Fields>,
  fields: Fields,
  decode: (answer: Buffer) => Result,
) => Promise<Result>;

export class TokenCalls implements Token {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  info(): Promise<TokenInfo> {
    return this.#ask(requests.info, [], (answer) => JSON.parse(answer.toString()) as TokenInfo);
  }

  generateKey(ckaId: Buffer): Promise<void> {
    if (isDaemonKey(ckaId)) return Promise.reject(new RangeError('the CKA_ID is the daemon’s own'));
    return this.#ask(requests.generateKey, [ckaId], nothing);
  }

  holds(ckaId: Buffer): Promise<boolean> {
    return this.#ask(requests.holds, [ckaId], isYes);
  }

  scheduleDestruction(ckaIds: readonly Buffer[], dueAtMs: number): Promise<boolean> {
    if (ckaIds.some(isDaemonKey)) return Promise.reject(neverDestroyed());
    return this.#ask(requests.scheduleDestruction, [u64(dueAtMs), Buffer.concat(ckaIds)], isYes);
  }

  cancelDestruction(ckaIds: readonly Buffer[]): Promise<void> {
    return this.#ask(requests.cancelDestruction, [Buffer.concat(ckaIds)], nothing);
  }

  destroyScheduled(ckaIds: readonly Buffer[], dueAtMs: number): Promise<boolean> {
    if (ckaIds.some(isDaemonKey)) return Promise.reject(neverDestroyed());
    return this.#ask(requests.destroyScheduled, [u64(dueAtMs), Buffer.concat(ckaIds)], isYes);
  }

  inventory(): Promise<readonly Buffer[]> {
    return this.#ask(requests.inventory, [], (answer) => splitCkaIds(answer) ?? []);
  }

  encrypt(ckaId: Buffer, aad: Buffer, plaintext: Buffer): Promise<Sealed> {
    return this.#ask(requests.encrypt, [ckaId, aad, plaintext], whole);
  }

  decrypt(ckaId: Buffer, aad: Buffer, sealed: Sealed): Promise<Buffer> {
    return this.#ask(requests.decrypt, [ckaId, aad, sealed], whole);
  }

  reEncrypt(from: { ckaId: Buffer; aad: Buffer; sealed: Sealed }, to: { ckaId: Buffer; aad: Buffer }): Promise<Sealed> {
    return this.#ask(requests.reEncrypt, [from.ckaId, from.aad, to.ckaId, to.aad, from.sealed], whole);
  }

  generateDataKey(ckaId: Buffer, aad: Buffer, bytes: number): Promise<{ plaintext: Buffer; sealed: Sealed }> {
    if (!isRandomLength(bytes)) return Promise.reject(randomLengthError());
    return this.#ask(requests.generateDataKey, [ckaId, aad, u32(bytes)], (answer) => ({
      plaintext: answer.subarray(0, bytes),
      sealed: answer.subarray(bytes),
    }));
  }

  generateDataKeyWithoutPlaintext(ckaId: Buffer, aad: Buffer, bytes: number): Promise<Sealed> {
    if (!isRandomLength(bytes)) return Promise.reject(randomLengthError());
    return this.#ask(requests.generateDataKeyWithoutPlaintext, [ckaId, aad, u32(bytes)], whole);
  }

  random(bytes: number): Promise<Buffer> {
    if (!isRandomLength(bytes)) return Promise.reject(randomLengthError());
    return this.#ask(requests.random, [u32(bytes)], whole);
  }

  createDaemonKeys(): Promise<void> {
    return this.#ask(requests.createDaemonKeys, [], nothing);
  }

  sealRow(data: Buffer): Promise<Buffer> {
    return this.#ask(requests.sealRow, [data], whole);
  }
}

const whole = (answer: Buffer): Buffer => answer;
const nothing = (): void => undefined;
const isYes = (answer: Buffer): boolean => answer[0] === 1;

const neverDestroyed = (): RangeError => new RangeError('the daemon’s own keys are not destroyed');

const randomLengthError = (): RangeError => new RangeError(`1 to ${maxRandomBytes} bytes`);
