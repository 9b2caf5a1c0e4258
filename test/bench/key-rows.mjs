// Keys as rows of a store that a bench fills past the daemon, sealed as the daemon would.
import { randomBytes, randomUUID } from 'node:crypto';
import Database from 'libsql';
import { backingKeyRows, backingKeys } from '../../dist/store/backing-keys.js';
import { keyColumns, keys } from '../../dist/store/key-row.js';
import { encodeRow } from '../../dist/store/seal.js';
import { defaultKeyPolicy } from '../../dist/policy/document.js';

export const region = 'us-east-1';
export const accountId = '000000000000';

const ordinary = () => ({
  policy: defaultKeyPolicy(accountId),
  description: 'payroll',
  tags: [{ TagKey: 'team', TagValue: 'x' }],
});

function newKey(n, textsOf) {
  const backing = { materialId: randomBytes(32).toString('hex'), strategy: 'gcm-host-iv', createdAtMs: 1 };
  return {
    ...{ region, accountId, keyId: randomUUID(), status: 'enabled', materialMissing: false, spec: 'SYMMETRIC_DEFAULT' },
    ...{ usage: 'ENCRYPT_DECRYPT', createdAtMs: 1, deletionAtMs: undefined, backingKeys: [backing], ...textsOf(n) },
    ...{ pendingMaterialId: undefined, life: 'bench' },
  };
}

/**
 * Writes `count` keys into the database at `path`, whose tables are there. `seal` makes the seal of a row's bytes; `textsOf` a key's policy,
 * description and tags. Gives the CKA_IDs of their material, ascending, one after the other.
 */
export function fillKeys(path, count, seal, textsOf = ordinary) {
  const database = new Database(path);
  database.pragma('synchronous = OFF');
  database.exec('begin');
  const inserter = (table, columns) => {
    const values = columns.map(() => '?').join();
    const insert = database.prepare(`insert into ${table} (${columns.join()}) values (${values})`);
    return (row) => insert.run(columns.map((name) => row[name]));
  };
  const insertKey = inserter('keys', [...Object.keys(keys.columns), 'seal']);
  const insertBackingKey = inserter('backing_keys', Object.keys(backingKeys.columns));
  const made = [];
  for (let n = 0; n < count; n++) {
    const key = newKey(n, textsOf);
    const row = keyColumns(key, 1);
    insertKey({ ...row, seal: seal(encodeRow(keys, row)) });
    for (const backingKey of backingKeyRows(key, key.backingKeys)) {
      insertBackingKey(backingKey);
      made.push(Buffer.from(backingKey.cka_id, 'hex'));
    }
  }
  database.exec('commit');
  database.pragma('wal_checkpoint(truncate)');
  database.close();
  return Buffer.concat(made.sort((a, b) => a.compare(b)));
}
