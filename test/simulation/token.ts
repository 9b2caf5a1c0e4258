// A PKCS#11 token, and its library as one host process has it loaded: as much of Cryptoki as the host uses. Objects of the token outlive the
// process that made them; its sessions do not. The cryptography is node:crypto's.
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import pkcs11 from 'pkcs11js';
import { Killed, type Process } from './process.js';

type Attributes = ReadonlyMap<number, Buffer>;

const bytesOf = (value: unknown): Buffer => {
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  if (typeof value === 'boolean') return Buffer.from([value ? 1 : 0]);
  if (typeof value === 'string') return Buffer.from(value);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value as number));
  return bytes;
};

const attributesOf = (template: pkcs11.Template): Attributes =>
  new Map(template.map(({ type, value }) => [type, bytesOf(value)]));

const isTrue = (attributes: Attributes, type: number): boolean => attributes.get(type)?.[0] === 1;

export class SimulatedToken {
  /** By handle. */
  readonly objects: Map<string, Attributes>;
  /** Every call of every host fails, as it does when the device is pulled out. */
  isAway = false;
  /** What becomes of an object is told by its CKA_ID, in hex. */
  onDestroyed: (ckaId: string) => void = () => undefined;
  #handles: number;

  constructor(copied?: SimulatedToken) {
    this.objects = new Map(copied?.objects);
    this.#handles = copied === undefined ? 0 : copied.#handles;
  }

  newHandle(): Buffer {
    return bytesOf(++this.#handles);
  }

  /** CKA_IDs, in hex, of all keys in it; one may be there twice. */
  keys(): string[] {
    return [...this.objects.values()]
      .filter((object) => object.get(pkcs11.CKA_CLASS)?.[0] === pkcs11.CKO_SECRET_KEY)
      .map((object) => object.get(pkcs11.CKA_ID)?.toString('hex') ?? '');
  }
}

interface Operation {
  readonly key: Buffer;
  readonly mechanism: pkcs11.Mechanism;
}

interface Session {
  readonly objects: Map<string, Attributes>;
  found: Buffer[];
  operation: Operation | undefined;
}

/** Calls of the host that change the token until it dies, and whether it dies with the last one done. */
export interface Doom {
  callsLeft: number;
  readonly afterwards: boolean;
}

export class SimulatedLibrary {
  doom: Doom | undefined;
  readonly #token: SimulatedToken;
  readonly #process: Process;
  readonly #sessions = new Map<string, Session>();

  constructor(token: SimulatedToken, process: Process) {
    this.#token = token;
    this.#process = process;
  }

  C_OpenSession(): Buffer {
    this.#enter();
    const handle = this.#token.newHandle();
    this.#sessions.set(handle.toString('hex'), { objects: new Map(), found: [], operation: undefined });
    return handle;
  }

  C_CloseSession(session: Buffer): void {
    this.#enter();
    this.#sessions.delete(session.toString('hex'));
  }

  C_GetSessionInfo(session: Buffer): { state: number } {
    this.#session(session);
    return { state: 3 };
  }

  C_GenerateRandom(session: Buffer, out: Buffer): Buffer {
    this.#session(session);
    randomBytes(out.length).copy(out);
    return out;
  }

  C_FindObjectsInit(handle: Buffer, template: pkcs11.Template = []): void {
    const session = this.#session(handle);
    const wanted = attributesOf(template);
    session.found = [...this.#token.objects]
      .filter(([, object]) => [...wanted].every(([type, value]) => object.get(type)?.equals(value) === true))
      .map(([found]) => Buffer.from(found, 'hex'));
  }

  C_FindObjects(session: Buffer, count: number): Buffer[] {
    return this.#session(session).found.splice(0, count);
  }

  C_FindObjectsFinal(session: Buffer): void {
    this.#session(session).found = [];
  }

  C_GetAttributeValue(session: Buffer, object: Buffer, template: pkcs11.Template): pkcs11.TemplateResult {
    const attributes = this.#object(this.#session(session), object);
    const isSensitive = isTrue(attributes, pkcs11.CKA_SENSITIVE);
    return template.map(({ type }) => {
      const value = attributes.get(type);
      if (type === pkcs11.CKA_VALUE && isSensitive) throw returned(pkcs11.CKR_ATTRIBUTE_SENSITIVE);
      if (value === undefined) throw returned(pkcs11.CKR_ATTRIBUTE_TYPE_INVALID);
      return { type, value };
    });
  }

  C_GenerateKey(session: Buffer, _mechanism: pkcs11.Mechanism, template: pkcs11.Template): Buffer {
    const attributes = attributesOf(template);
    const length = Number(attributes.get(pkcs11.CKA_VALUE_LEN)?.readBigUInt64LE() ?? 0n);
    const past = [pkcs11.CKA_LOCAL, pkcs11.CKA_ALWAYS_SENSITIVE, pkcs11.CKA_NEVER_EXTRACTABLE];
    const made: Attributes = new Map([
      ...attributes,
      [pkcs11.CKA_VALUE, randomBytes(length)] as const,
      ...past.map((type) => [type, bytesOf(true)] as const),
    ]);
    return this.#make(session, made);
  }

  C_CreateObject(session: Buffer, template: pkcs11.Template): Buffer {
    return this.#make(session, attributesOf(template));
  }

  C_CopyObject(session: Buffer, object: Buffer, template: pkcs11.Template): Buffer {
    const original = this.#object(this.#session(session), object);
    return this.#make(session, new Map([...original, ...attributesOf(template)]));
  }

  C_DestroyObject(session: Buffer, object: Buffer): void {
    const { objects } = this.#session(session);
    const name = object.toString('hex');
    const gone = this.#token.objects.get(name);
    if (objects.delete(name)) return;
    if (gone === undefined) throw returned(pkcs11.CKR_OBJECT_HANDLE_INVALID);
    this.#change(() => {
      this.#token.objects.delete(name);
      const isKey = gone.get(pkcs11.CKA_CLASS)?.[0] === pkcs11.CKO_SECRET_KEY;
      if (isKey) this.#token.onDestroyed(gone.get(pkcs11.CKA_ID)?.toString('hex') ?? '');
    });
  }

  C_EncryptInit = (session: Buffer, mechanism: pkcs11.Mechanism, key: Buffer): void =>
    this.#init(session, mechanism, key);
  C_DecryptInit = (session: Buffer, mechanism: pkcs11.Mechanism, key: Buffer): void =>
    this.#init(session, mechanism, key);
  C_SignInit = (session: Buffer, mechanism: pkcs11.Mechanism, key: Buffer): void => this.#init(session, mechanism, key);

  C_Encrypt(session: Buffer, plaintext: Buffer, out: Buffer): Buffer {
    const { key, iv, aad } = this.#gcm(session);
    const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad);
    const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    return out.subarray(0, sealed.copy(out));
  }

  C_Decrypt(session: Buffer, sealed: Buffer, out: Buffer): Buffer {
    const { key, iv, aad } = this.#gcm(session);
    const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 }).setAAD(aad);
    decipher.setAuthTag(sealed.subarray(-16));
    try {
      const plaintext = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
      return out.subarray(0, plaintext.copy(out));
    } catch {
      throw returned(pkcs11.CKR_ENCRYPTED_DATA_INVALID);
    }
  }

  C_Sign(session: Buffer, data: Buffer, out: Buffer): Buffer {
    const { key } = this.#operation(session);
    const mac = createHmac('sha256', this.#value(session, key)).update(data).digest();
    return out.subarray(0, mac.copy(out));
  }

  #gcm(session: Buffer): { readonly key: Buffer; readonly iv: Buffer; readonly aad: Buffer } {
    const { key, mechanism } = this.#operation(session);
    const { iv, aad } = mechanism.parameter as pkcs11.AesGCM;
    return { key: this.#value(session, key), iv: iv ?? Buffer.alloc(0), aad: aad ?? Buffer.alloc(0) };
  }

  #init(session: Buffer, mechanism: pkcs11.Mechanism, key: Buffer): void {
    const opened = this.#session(session);
    this.#object(opened, key, pkcs11.CKR_KEY_HANDLE_INVALID);
    opened.operation = { key, mechanism };
  }

  #operation(handle: Buffer): Operation {
    const session = this.#session(handle);
    const { operation } = session;
    session.operation = undefined;
    if (operation === undefined) throw returned(pkcs11.CKR_OPERATION_NOT_INITIALIZED);
    return operation;
  }

  #value(session: Buffer, key: Buffer): Buffer {
    return this.#object(this.#session(session), key).get(pkcs11.CKA_VALUE) ?? Buffer.alloc(0);
  }

  #make(handle: Buffer, attributes: Attributes): Buffer {
    const session = this.#session(handle);
    const made = this.#token.newHandle();
    if (isTrue(attributes, pkcs11.CKA_TOKEN))
      this.#change(() => this.#token.objects.set(made.toString('hex'), attributes));
    else session.objects.set(made.toString('hex'), attributes);
    return made;
  }

  #change(change: () => void): void {
    const { doom } = this;
    const isLast = doom !== undefined && --doom.callsLeft === 0;
    if (!isLast || doom.afterwards) change();
    if (!isLast) return;
    this.#process.kill();
    throw new Killed();
  }

  #session(handle: Buffer): Session {
    this.#enter();
    const session = this.#sessions.get(handle.toString('hex'));
    if (session === undefined) throw returned(pkcs11.CKR_SESSION_HANDLE_INVALID);
    return session;
  }

  #object(session: Session, object: Buffer, otherwise = pkcs11.CKR_OBJECT_HANDLE_INVALID): Attributes {
    const name = object.toString('hex');
    const found = session.objects.get(name) ?? this.#token.objects.get(name);
    if (found === undefined) throw returned(otherwise);
    return found;
  }

  #enter(): void {
    if (!this.#process.isAlive) throw new Killed();
    if (this.#token.isAway) throw returned(pkcs11.CKR_DEVICE_REMOVED);
  }
}

const returned = (code: number): Error => new pkcs11.Pkcs11Error('simulated', code, '');
