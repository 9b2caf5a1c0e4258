// The ports of store and audit in memory: rows in maps, records in a list. With the fake token the line runs on them whole, in one process. Of
// keys and aliases it keeps the store's contract (test/store/record-suite.ts); it has no seals: those are a database's (test/store).
import { aliasArn } from '../../src/kernel/arn.js';
import { BridgeError } from '../../src/kernel/errors.js';
import { arnOfKey, ckaIdOf, type Alias, type Key, type KeyRef } from '../../src/model/key.js';
import { isSameKeyStore, type KeyStoreRef } from '../../src/model/key-store.js';
import type { Credential } from '../../src/model/principal.js';
import type { AuditKind, AuditLog } from '../../src/ports/audit.js';
import type { AccountScope, Page, Store } from '../../src/ports/store.js';

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

const idOf = (materialId: string): string => ckaIdOf(materialId).toString('hex');

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

export function memoryStore(): Store & { usageTotals: Map<string, number> } {
  const keys = new Map<string, Key>();
  const aliases = new Map<string, Alias>();
  const credentials = new Map<string, Credential>();
  const usageTotals = new Map<string, number>();
  const living = new Set<string>();
  const inScope = (scope: AccountScope) => (item: AccountScope) =>
    item.region === scope.region && item.accountId === scope.accountId;
  const page = <T>(items: T[], nameOf: (item: T) => string, { after, limit }: Page): T[] =>
    items
      .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
      .filter((item) => after === undefined || nameOf(item) > after)
      .slice(0, limit);
  const existingAlias = (scope: AccountScope, name: string, seenKeyId: string): Alias => {
    const arn = aliasArn(scope.region, scope.accountId, name);
    const alias = aliases.get(arn);
    if (alias === undefined) throw new BridgeError('NotFoundException', `Alias ${arn} is not found.`);
    if (alias.keyId !== seenKeyId) throw new BridgeError('KMSInternalException');
    return alias;
  };
  const requireKey = (ref: KeyRef): void => {
    if (!keys.has(arnOfKey(ref))) throw new BridgeError('NotFoundException');
  };
  const arnOfAlias = (alias: Alias): string => aliasArn(alias.region, alias.accountId, alias.aliasName);
  const keyOfMaterial = (region: string, ckaId: string): Key | undefined =>
    [...keys.values()].find(
      (key) => key.region === region && key.backingKeys.some((backing) => idOf(backing.materialId) === ckaId),
    );
  const materialsOf = (region: string): [ckaId: string, key: Key][] =>
    [...keys.values()]
      .filter((key) => key.region === region)
      .flatMap((key) => key.backingKeys.map(({ materialId }): [string, Key] => [idOf(materialId), key]));
  const materialsIn = (keyStore: KeyStoreRef) =>
    materialsOf(keyStore.region).filter(([, key]) => isSameKeyStore(key, keyStore));
  const removeKey = (ref: KeyRef): void => {
    keys.delete(arnOfKey(ref));
    for (const [arn, alias] of aliases) if (alias.keyId === ref.keyId) aliases.delete(arn);
  };
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
      insert: async (key) => {
        const taken = key.backingKeys.some(
          ({ materialId }) => keyOfMaterial(key.region, idOf(materialId)) !== undefined,
        );
        if (taken || keys.has(arnOfKey(key))) throw new BridgeError('KMSInternalException');
        keys.set(arnOfKey(key), key);
      },
      update: async (ref, change) => {
        const key = keys.get(arnOfKey(ref));
        if (key === undefined) throw new BridgeError('NotFoundException', `Key '${arnOfKey(ref)}' does not exist`);
        const changed = change(key);
        if (arnOfKey(changed) !== arnOfKey(key) || !isSameKeyStore(changed, key)) throw new TypeError('another key');
        keys.set(arnOfKey(ref), changed);
        return changed;
      },
      remove: async (ref) => removeKey(ref),
      removeUnfinished: async (key) => {
        const now = keys.get(arnOfKey(key));
        if (now !== undefined && now.pendingMaterialId !== key.pendingMaterialId)
          throw new BridgeError('KMSInternalException');
        removeKey(key);
      },
      due: (keyStore, nowMs) =>
        each(
          [...keys.values()]
            .filter(
              (key) =>
                isSameKeyStore(key, keyStore) &&
                (key.status === 'pendingDeletion' || key.status === 'deleting') &&
                (key.deletionAtMs ?? 0) <= nowMs,
            )
            .sort((a, b) => (a.deletionAtMs ?? 0) - (b.deletionAtMs ?? 0)),
        ),
      unsettled: (keyStore, which) =>
        each(
          [...keys.values()].filter(
            (key) =>
              isSameKeyStore(key, keyStore) &&
              (key.status === 'creating' || key.pendingMaterialId !== undefined) &&
              (which === 'all' || !living.has(key.life)),
          ),
        ),
      materials: (region) =>
        each([
          materialsOf(region)
            .map(([ckaId, { keyStore }]) => ({ ckaId, keyStore }))
            .sort((a, b) => (a.ckaId < b.ckaId ? -1 : 1)),
        ]),
      named: async (keyStore, ckaIds) => {
        const known = new Map(materialsIn(keyStore));
        return new Set(ckaIds.filter((ckaId) => known.has(ckaId)));
      },
      owners: (keyStore, ckaIds) => {
        const known = new Map(materialsIn(keyStore));
        return each([...ckaIds].flatMap((ckaId) => known.get(ckaId) ?? []));
      },
      withoutMaterial: (keyStore) =>
        each([...keys.values()].filter((key) => isSameKeyStore(key, keyStore) && key.materialMissing)),
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
        requireKey(alias);
        aliases.set(arn, alias);
      },
      update: async (alias, seenKeyId) => {
        const { createdAtMs } = existingAlias(alias, alias.aliasName, seenKeyId);
        requireKey(alias);
        aliases.set(arnOfAlias(alias), { ...alias, createdAtMs });
      },
      remove: async (scope, aliasName, seenKeyId) =>
        void aliases.delete(arnOfAlias(existingAlias(scope, aliasName, seenKeyId))),
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
    leases: { take: async (name, holder) => ({ name, holder, token: 1 }) },
    lives: {
      begin: async () => {
        living.add('life');
        return 'life';
      },
      beat: async () => true,
    },
    fault: () => undefined,
    integrityFailures: () => [],
    cache: () => ({ rows: 0, all: 0, reads: 0 }),
    wrongToken: async () => undefined,
    close: async () => undefined,
  };
}
