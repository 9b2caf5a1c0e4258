// All sealed tables with their stores, and the schema's history. A further table is a file like aliases.ts, which also creates it, lines here
// and its port. One whose rows are sealed with those of another is named in that one's description (backing-keys.ts).
import type { Migration } from 'kysely';
import { AliasRows, aliases } from './aliases.js';
import { createBackingKeys } from './backing-keys.js';
import type { StoreContext } from './context.js';
import { CredentialRows, credentials } from './credentials.js';
import { keys } from './key-row.js';
import { KeyRows } from './keys.js';
import { changes, first, keyStores, lives, pages, type ColumnTypes } from './migrations.js';

export const sealedTables = [keys, aliases, credentials];

export const createStores = (context: StoreContext) => ({
  keys: new KeyRows(context),
  aliases: new AliasRows(context),
  credentials: new CredentialRows(context),
});

/** One that was released is never changed; a new one is added after it. */
export const migrations = (types: ColumnTypes): Record<string, Migration> => ({
  '0001-first': { up: (db) => first(db, types) },
  '0002-pages': { up: pages },
  '0003-changes': { up: (db) => changes(db, types) },
  '0004-lives': { up: (db) => lives(db, types) },
  '0005-backing-keys': { up: (db) => createBackingKeys(db, types) },
  '0006-key-stores': { up: keyStores },
});
