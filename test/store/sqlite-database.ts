// A real SQLite file in its own folder, for the suite.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Libsql from 'libsql';
import { systemRandom } from '../../src/kernel/random.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { openStore } from '../../src/store/open.js';
import type { Database } from './bench.js';
import { region } from './samples.js';

export interface SqliteFile extends Database {
  readonly folder: string;
  readonly path: string;
}

export function sqliteDatabase(): SqliteFile {
  const folder = mkdtempSync(join(tmpdir(), 'hsmb-store-'));
  const path = join(folder, 'store.db');
  return {
    folder,
    path,
    open: (options) =>
      openStore({ path, defaultRegion: region, timers: systemTimers, random: systemRandom, ...options }),
    administrate(sql, ...parameters) {
      const database = new Libsql(path, { timeout: 5_000 });
      try {
        database.pragma('foreign_keys = OFF');
        const statement = database.prepare(sql);
        if (!statement.reader) {
          statement.run(parameters);
          return [];
        }
        return statement.all(parameters).map((row) => {
          const entries = Object.entries(row as Record<string, unknown>);
          return Object.fromEntries(entries.map(([k, v]) => [k, v instanceof ArrayBuffer ? Buffer.from(v) : v]));
        });
      } finally {
        database.close();
      }
    },
    bytesOnDisk: () => Buffer.concat(readdirSync(folder).map((name) => readFileSync(join(folder, name)))),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}
