// The ports in memory: AES-GCM by node:crypto, rows in maps, records in a list. The line runs on them whole, in one process.
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { aliasArn } from '../../src/kernel/arn.js';
import { BridgeError } from '../../src/kernel/errors.js';
import { arnOfKey, ckaIdOf, type Alias, type Key, type KeyRef } from '../../src/model/key.js';
import type { Credential } from '../../src/model/principal.js';
import type { AuditKind, AuditLog } from '../../src/ports/audit.js';
import type { AccountScope, Page, Store } from '../../src/ports/store.js';
import type { Token } from '../../src/ports/token.js';

export class MemoryToken implements Token {
  readonly objects = new Map<string, Buffer>();

  info = () => Promise.resolve({ label: 'memory', serial: '0', model: 'memory', manufacturer: 'test' });

  generateKey = async (ckaId: Buffer): Promise<void> => {
    this.objects.set(ckaId.toString('hex'), randomBytes(32));
  };

  /** CKA_ID and time of each scheduled destruction. */
  readonly scheduled = new Set<string>();

  holds = async (ckaId: Buffer): Promise<boolean> => this.objects.has(ckaId.toString('hex'));

  scheduleDestruction = async (ckaIds: readonly Buffer[], dueAtMs: number): Promise<boolean> => {
    for (const ckaId of ckaIds) this.scheduled.add(`${ckaId.toString('hex')} ${dueAtMs}`);
    return true;
  };

  cancelDestruction = async (ckaIds: readonly Buffer[]): Promise<void> => {
    const ids = ckaIds.map((ckaId) => ckaId.toString('hex'));
    for (const record of this.scheduled) if (ids.includes(record.slice(0, 32))) this.scheduled.delete(record);
  };

  destroyScheduled = async (ckaIds: readonly Buffer[], dueAtMs: number): Promise<boolean> => {
    const ids = ckaIds.map((ckaId) => ckaId.toString('hex'));
    const some = ids.some((id) => this.objects.has(id));
    if (some && !ids.every((id) => this.scheduled.has(`${id} ${dueAtMs}`))) return false;
    for (const id of ids) this.objects.delete(id);
    await this.cancelDestruction(ckaIds);
    return true;
  };

  inventory = async () => [...this.objects.keys()].map((id) => Buffer.from(id, 'hex'));

  encrypt = async (ckaId: Buffer, aad: Buffer, plaintext: Buffer): Promise<Buffer> => {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key(ckaId), iv).setAAD(aad);
    return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  };

  decrypt = async (ckaId: Buffer, aad: Buffer, sealed: Buffer): Promise<Buffer> => {
    const decipher = createDecipheriv('aes-256-gcm', this.#key(ckaId), sealed.subarray(0, 12)).setAAD(aad);
    decipher.setAuthTag(sealed.subarray(-16));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
    } catch {
      throw new BridgeError('InvalidCiphertextException');
    }
  };

  reEncrypt: Token['reEncrypt'] = async (from, to) =>
    this.encrypt(to.ckaId, to.aad, await this.decrypt(from.ckaId, from.aad, from.sealed));

  generateDataKey: Token['generateDataKey'] = async (ckaId, aad, bytes) => {
    const plaintext = randomBytes(bytes);
    return { plaintext, sealed: await this.encrypt(ckaId, aad, plaintext) };
  };

  generateDataKeyWithoutPlaintext: Token['generateDataKeyWithoutPlaintext'] = async (ckaId, aad, bytes) =>
    this.encrypt(ckaId, aad, randomBytes(bytes));

  random = async (bytes: number): Promise<Buffer> => randomBytes(bytes);

  createDaemonKeys = async (): Promise<void> => undefined;

  sealRow = async (data: Buffer): Promise<Buffer> => createHmac('sha256', 'seal').update(data).digest();

  #key(ckaId: Buffer): Buffer {
    const key = this.objects.get(ckaId.toString('hex'));
    if (key === undefined) throw new BridgeError('KeyUnavailableException', 'The key is not available.');
    return key;
  }
}

export class MemoryAudit implements AuditLog {
  readonly records: { kind: AuditKind; record: Record<string, unknown> }[] = [];
  writable = true;

  requireWritable(): void {
    if (!this.writable) throw new BridgeError('KMSInternalException', 'The audit log cannot be written.');
  }

  append = async (kind: AuditKind, record: string): Promise<void> => {
    this.requireWritable();
    this.records.push({ kind, record: JSON.parse(record) as Record<string, unknown> });
  };

  appendUnauthenticated = async (_sourceIp: string, _code: string, record: string): Promise<void> =>
    this.append('event', record);

  appendThrottled = async (_accountId: string, _sourceIp: string, _reason: string, record: string): Promise<void> =>
    this.append('event', record);
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

export function memoryStore(): Store & { usageTotals: Map<string, number> } {
  const keys = new Map<string, Key>();
  const aliases = new Map<string, Alias>();
  const credentials = new Map<string, Credential>();
  const usageTotals = new Map<string, number>();
  const inScope = (scope: AccountScope) => (item: AccountScope) =>
    item.region === scope.region && item.accountId === scope.accountId;
  const page = <T>(items: T[], nameOf: (item: T) => string, { after, limit }: Page): T[] =>
    items
      .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
      .filter((item) => after === undefined || nameOf(item) > after)
      .slice(0, limit);
  const existingAlias = (scope: AccountScope, name: string): string => {
    const arn = aliasArn(scope.region, scope.accountId, name);
    if (!aliases.has(arn)) throw new BridgeError('NotFoundException', `Alias ${arn} is not found.`);
    return arn;
  };
  const arnOfAlias = (alias: Alias): string => aliasArn(alias.region, alias.accountId, alias.aliasName);
  const keyOfMaterial = (region: string, ckaId: string): Key | undefined =>
    [...keys.values()].find(
      (key) =>
        key.region === region &&
        key.backingKeys.some((backing) => ckaIdOf(backing.materialId).toString('hex') === ckaId),
    );
  const materialsOf = (region: string): [ckaId: string, key: Key][] =>
    [...keys.values()]
      .filter((key) => key.region === region)
      .flatMap((key) =>
        key.backingKeys.map(({ materialId }): [string, Key] => [ckaIdOf(materialId).toString('hex'), key]),
      );
  return {
    usageTotals,
    foreign: {
      key: async (_asker, ref) => keys.get(arnOfKey(ref)),
      keyOfAlias: async (_asker, scope, name) => {
        const alias = aliases.get(aliasArn(scope.region, scope.accountId, name));
        return alias && keys.get(arnOfKey(alias));
      },
      keyOfMaterial: async (_asker, region, ckaId) => keyOfMaterial(region, ckaId),
    },
    keys: {
      find: async (ref) => keys.get(arnOfKey(ref)),
      findByMaterial: async (region, ckaId, accountId) => {
        const key = keyOfMaterial(region, ckaId);
        return accountId === undefined || key?.accountId === accountId ? key : undefined;
      },
      list: async (scope, asked) =>
        page(
          [...keys.values()].filter((key) => inScope(scope)(key) && key.status !== 'creating').map((key) => key.keyId),
          String,
          asked,
        ),
      count: async (scope) => [...keys.values()].filter(inScope(scope)).length,
      insert: async (key) => void keys.set(arnOfKey(key), key),
      update: async (ref, change) => {
        const key = keys.get(arnOfKey(ref));
        if (key === undefined) throw new BridgeError('NotFoundException', `Key '${arnOfKey(ref)}' does not exist`);
        const changed = change(key);
        keys.set(arnOfKey(ref), changed);
        return changed;
      },
      remove: async (ref: KeyRef) => {
        keys.delete(arnOfKey(ref));
        for (const [arn, alias] of aliases) if (alias.keyId === ref.keyId) aliases.delete(arn);
      },
      due: (region, nowMs) =>
        each(
          [...keys.values()].filter(
            (key) =>
              key.region === region &&
              (key.status === 'pendingDeletion' || key.status === 'deleting') &&
              (key.deletionAtMs ?? 0) <= nowMs,
          ),
        ),
      unsettled: (region, isAbandoned) =>
        each(
          [...keys.values()].filter(
            (key) => key.region === region && key.pendingMaterialId !== undefined && isAbandoned(key.incarnation),
          ),
        ),
      materials: (region) => each([materialsOf(region).map(([ckaId]) => ckaId)]),
      named: async (region, ckaIds) => {
        const known = new Map(materialsOf(region));
        return new Set(ckaIds.filter((ckaId) => known.has(ckaId)));
      },
      owners: (region, ckaIds) => {
        const known = new Map(materialsOf(region));
        return each([...ckaIds].flatMap((ckaId) => known.get(ckaId) ?? []));
      },
      withoutMaterial: (region) =>
        each([...keys.values()].filter((key) => key.region === region && key.materialMissing)),
      checkSeals: () => each([]),
    },
    aliases: {
      find: async (scope, name) => aliases.get(aliasArn(scope.region, scope.accountId, name)),
      list: async (scope, keyId, asked) =>
        page(
          [...aliases.values()].filter(
            (alias) => inScope(scope)(alias) && (keyId === undefined || alias.keyId === keyId),
          ),
          (alias) => alias.aliasName,
          asked,
        ),
      countOf: async (ref) =>
        [...aliases.values()].filter((alias) => inScope(ref)(alias) && alias.keyId === ref.keyId).length,
      insert: async (alias) => {
        const arn = arnOfAlias(alias);
        if (aliases.has(arn))
          throw new BridgeError('AlreadyExistsException', `An alias with the name ${arn} already exists`);
        aliases.set(arn, alias);
      },
      update: async (alias) => void aliases.set(existingAlias(alias, alias.aliasName), alias),
      remove: async (scope, aliasName) => void aliases.delete(existingAlias(scope, aliasName)),
    },
    credentials: {
      find: async (id) => credentials.get(id),
      findRoot: async (accountId) => [...credentials.values()].find((credential) => credential.accountId === accountId),
      insert: async (credential) => void credentials.set(credential.accessKeyId, credential),
    },
    usage: {
      reserve: async (materialId, count) => {
        const total = (usageTotals.get(materialId) ?? 0) + count;
        usageTotals.set(materialId, total);
        return total;
      },
    },
    leases: { take: async () => true },
    fault: () => undefined,
    integrityFailures: () => [],
    cache: () => ({ rows: 0, all: 0, reads: 0 }),
    wrongToken: async () => undefined,
    close: async () => undefined,
  };
}
