// A token made of node:crypto, with a gate to hold calls, a failure to give them, and counters to see them. It keeps the port's contract:
// test/token/contract.test.ts runs the same suite on it and on a real token.
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { BridgeError } from '../../src/kernel/errors.js';
import { Secret } from '../../src/kernel/secret.js';
import { defaultKeyStore, keyStoreName, type KeyStoreRef } from '../../src/model/key-store.js';
import { tokenKinds, type TokenAlgorithm, type TokenKind } from '../../src/model/token-key.js';
import { DaemonKeyMissing, daemonKeys, type Token, type Tokens } from '../../src/ports/token.js';
import { calls, type ArgsOf } from '../../src/token/calls.js';

interface KeyObject {
  readonly kind: TokenKind;
  readonly value: Buffer;
}

export class FakeToken implements Token {
  sealCalls = 0;
  decryptCalls = 0;
  createCalls = 0;
  /** While set, macRow waits for it. */
  gate: Promise<void> | undefined;
  /** Thrown by every call that needs one of the daemon's keys while it is set. */
  failure: BridgeError | undefined;
  /** What it says that it can do. */
  algorithms: readonly TokenAlgorithm[] = [
    'AES_256_GCM',
    'HMAC_SHA_224',
    'HMAC_SHA_256',
    'HMAC_SHA_384',
    'HMAC_SHA_512',
  ];
  /** The users' keys by CKA_ID in hex. */
  readonly objects = new Map<string, KeyObject>();
  /** CKA_ID and time of each scheduled destruction. */
  readonly scheduled = new Set<string>();
  #daemonKeys: Buffer | undefined;
  readonly #file: string | undefined;

  /** `file`: holds the daemon's keys, so that several processes share one token; an existing file wins against a second creation. */
  constructor(file?: string) {
    this.#file = file;
  }

  info: Token['info'] = async () => ({ label: 'fake', serial: '4711', algorithms: this.algorithms, callsInFlight: 1 });

  generateKey: Token['generateKey'] = async (ckaId, kind) => {
    takes('generateKey', [ckaId, kind]);
    if (!tokenKinds.includes(kind)) throw new RangeError('no such kind');
    const name = ckaId.toString('hex');
    if (this.objects.has(name)) throw new BridgeError('KMSInternalException');
    this.objects.set(name, { kind, value: randomBytes(32) });
  };

  holds: Token['holds'] = async (ckaId) => this.objects.has(ckaId.toString('hex'));

  scheduleDestruction: Token['scheduleDestruction'] = async (ckaIds, dueAtMs) => {
    takes('scheduleDestruction', [ckaIds, dueAtMs]);
    for (const ckaId of ckaIds) this.scheduled.add(`${ckaId.toString('hex')} ${dueAtMs}`);
    return true;
  };

  cancelDestruction: Token['cancelDestruction'] = async (ckaIds) => {
    const ids = ckaIds.map((ckaId) => ckaId.toString('hex'));
    for (const record of this.scheduled) if (ids.includes(record.slice(0, 32))) this.scheduled.delete(record);
  };

  destroyScheduled: Token['destroyScheduled'] = async (ckaIds, dueAtMs) => {
    takes('destroyScheduled', [ckaIds, dueAtMs]);
    const ids = ckaIds.map((ckaId) => ckaId.toString('hex'));
    const some = ids.some((id) => this.objects.has(id));
    if (some && !ids.every((id) => this.scheduled.has(`${id} ${dueAtMs}`))) return false;
    for (const id of ids) this.objects.delete(id);
    await this.cancelDestruction(ckaIds);
    return true;
  };

  inventory: Token['inventory'] = async (after, limit) => {
    takes('inventory', [after, limit]);
    const names = [...this.objects.keys()].sort().filter((name) => after === undefined || name > after.toString('hex'));
    return names.slice(0, limit).map((name) => Buffer.from(name, 'hex'));
  };

  encrypt: Token['encrypt'] = async (ckaId, aad, plaintext) => {
    takes('encrypt', [ckaId, aad, plaintext]);
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#aesKey(ckaId), iv).setAAD(aad);
    return Buffer.concat([iv, cipher.update(plaintext.reveal()), cipher.final(), cipher.getAuthTag()]);
  };

  decrypt: Token['decrypt'] = async (ckaId, aad, sealed) => {
    takes('decrypt', [ckaId, aad, sealed]);
    this.decryptCalls++;
    const key = this.#aesKey(ckaId);
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12), { authTagLength: 16 });
      decipher.setAAD(aad).setAuthTag(sealed.subarray(12).subarray(-16));
      return new Secret(Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]));
    } catch (error) {
      throw new BridgeError('InvalidCiphertextException', undefined, { cause: error });
    }
  };

  reEncrypt: Token['reEncrypt'] = async (from, to) =>
    this.encrypt(to.ckaId, to.aad, await this.decrypt(from.ckaId, from.aad, from.sealed));

  generateDataKey: Token['generateDataKey'] = async (ckaId, aad, bytes) => {
    takes('generateDataKey', [ckaId, aad, bytes]);
    const plaintext = new Secret(randomBytes(bytes));
    return { plaintext, sealed: await this.encrypt(ckaId, aad, plaintext) };
  };

  generateDataKeyWithoutPlaintext: Token['generateDataKeyWithoutPlaintext'] = async (ckaId, aad, bytes) =>
    (await this.generateDataKey(ckaId, aad, bytes)).sealed;

  generateMac: Token['generateMac'] = async (ckaId, algorithm, message) => {
    takes('generateMac', [ckaId, algorithm, message]);
    const object = this.objects.get(ckaId.toString('hex'));
    if (object?.kind !== algorithm.replace('_SHA', '')) throw new BridgeError('KeyUnavailableException');
    return createHmac(algorithm.replace(/^HMAC_SHA_/, 'sha'), object.value)
      .update(message.reveal())
      .digest();
  };

  verifyMac: Token['verifyMac'] = async (ckaId, algorithm, message, mac) => {
    takes('verifyMac', [ckaId, algorithm, message, mac]);
    return (await this.generateMac(ckaId, algorithm, message)).equals(mac);
  };

  random: Token['random'] = async (bytes) => {
    takes('random', [bytes]);
    return new Secret(randomBytes(bytes));
  };

  createDaemonKeys: Token['createDaemonKeys'] = async () => {
    this.createCalls++;
    if (this.failure !== undefined) throw this.failure;
    const keys = randomBytes(64);
    if (this.#file !== undefined) writeFileSync(this.#file, keys.toString('hex'), { flag: 'wx' });
    else if (this.#daemonKeys !== undefined) throw new BridgeError('KMSInternalException');
    this.#daemonKeys = keys;
  };

  macRow: Token['macRow'] = async (data) => {
    takes('macRow', [data]);
    this.sealCalls++;
    await this.gate;
    return this.hmac(data);
  };

  hmac(data: Buffer): Buffer {
    return createHmac('sha256', this.#own().subarray(0, 32)).update(data).digest();
  }

  #aesKey(ckaId: Buffer): Buffer {
    if (ckaId.equals(daemonKeys.secrets)) return this.#own().subarray(32);
    if (ckaId.equals(daemonKeys.rowSeal)) throw new DaemonKeyMissing();
    const key = this.objects.get(ckaId.toString('hex'));
    if (key?.kind !== 'AES_256') throw new BridgeError('KeyUnavailableException');
    return key.value;
  }

  #own(): Buffer {
    if (this.failure !== undefined) throw this.failure;
    if (this.#file !== undefined && existsSync(this.#file))
      this.#daemonKeys = Buffer.from(readFileSync(this.#file, 'utf8'), 'hex');
    if (this.#daemonKeys === undefined) throw new DaemonKeyMissing();
    return this.#daemonKeys;
  }
}

/** RangeError for what the real client does not send either. */
function takes<M extends keyof Token>(method: M, args: ArgsOf<M>): void {
  calls[method].args.measure(args as never);
}

/** A token for each key store. */
export class FakeTokens implements Tokens {
  /** Names of the further key stores that each Region has by its configuration. */
  furtherKeyStores: readonly string[] = [];
  readonly #byName = new Map<string, FakeToken>();

  /** Text: a Region's default one. */
  of(asked: string | KeyStoreRef): FakeToken {
    const keyStore = typeof asked === 'string' ? defaultKeyStore(asked) : asked;
    if (keyStore.keyStore !== undefined && !this.furtherKeyStores.includes(keyStore.keyStore))
      throw new BridgeError('KMSInternalException', undefined, { cause: new Error('not configured') });
    const name = keyStoreName(keyStore);
    const known = this.#byName.get(name) ?? new FakeToken();
    this.#byName.set(name, known);
    return known;
  }

  /** Another token in the place of the one that was there. */
  put(keyStore: KeyStoreRef, token: FakeToken): void {
    this.#byName.set(keyStoreName(keyStore), token);
  }

  keyStoresOf(region: string): readonly KeyStoreRef[] {
    return [undefined, ...this.furtherKeyStores].map((keyStore) => ({ region, keyStore }));
  }
}
