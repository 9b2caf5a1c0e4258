// What each commit changed, told to the other connections: one row a commit, written in the same transaction. A reader of them compares their
// number with SQLite's own count of commits: one without a notice, by a writer that goes past the daemon, counts as a change of everything.
import type { Changed } from '../backend.js';
import { commitsBetween, type CommitMark } from './commit-mark.js';
import type { SqliteConnection } from './connection.js';

/** What a connection that stayed away for longer has missed is everything. */
const keptRows = 1024;
/** Rows are taken away in lots. */
const trimEvery = 256;
/** A commit that changed more says 'all': others then read a little more, and this row stays small. */
const maxNames = 200;
/** A longer notice is another hand's: a name has some 300 bytes at most. */
const maxBytes = 64 * 1024;
const attempts = 5;

interface Notice {
  readonly seq: number;
  readonly writer: string;
  readonly changed: string;
}

interface Position {
  /** The newest notice's number; 0 when there is none. */
  readonly seq: number;
  readonly commits: number;
}

/** A reader that stays away so long that the counter goes round has missed more rows than are kept. */
export class Notices {
  readonly #connection: SqliteConnection;
  readonly #mark: CommitMark;
  /** This connection's name among the writers. */
  readonly #writer: string;
  #position: Position | undefined;
  #dataVersion: unknown;

  constructor(connection: SqliteConnection, mark: CommitMark, writer: string) {
    this.#connection = connection;
    this.#mark = mark;
    this.#writer = writer;
    this.#position = this.#readAfter(this.#newest())?.position;
    this.#dataVersion = connection.dataVersion();
  }

  /** In a transaction, as its last statement: nothing may come between it and the commit, or a look would find a notice of no commit. */
  write(changed: Changed): void {
    const text = JSON.stringify(changed.length > maxNames ? 'all' : changed);
    let seq = this.#insert(text);
    if (!Number.isSafeInteger(seq)) {
      // Behind a number that another hand wrote, and that nobody counts up to, there are none left: all begin again at 1, and read everything.
      this.#connection.prepare('delete from changes').run([]);
      seq = this.#insert(text);
    }
    if (seq % trimEvery === 0) this.#connection.prepare('delete from changes where seq <= ?').run([seq - keptRows]);
  }

  /** What other connections have committed since the last call. The schema is judged again when there was anything. */
  changes(): Changed {
    const version = this.#connection.dataVersion();
    const elsewhere = version !== this.#dataVersion;
    if (elsewhere) this.#connection.checkSchema();
    this.#dataVersion = version;
    const before = this.#position;
    const found = this.#readAfter(before?.seq ?? 0);
    this.#position = found?.position;
    if (found === undefined || before === undefined) return elsewhere ? 'all' : [];
    const { notices, position } = found;
    const complete =
      notices.length === commitsBetween(before.commits, position.commits) &&
      notices.every(({ seq }, n) => seq === before.seq + 1 + n);
    if (!complete) {
      this.#position = this.#readAfter(this.#newest())?.position;
      return 'all';
    }
    const changed: string[] = [];
    for (const { writer, changed: text } of notices) {
      if (writer === this.#writer) continue;
      const names = JSON.parse(text) as Changed;
      if (names === 'all') return 'all';
      changed.push(...names);
    }
    return changed;
  }

  #insert(text: string): number {
    this.#connection.prepare('insert into changes (writer, changed) values (?, ?)').run([this.#writer, text]);
    const [row] = this.#connection.prepare('select last_insert_rowid() as seq').all([]) as { seq: number }[];
    return row?.seq ?? 0;
  }

  /** Notices and the count of one moment; undefined when commits cannot be counted or never stood still. */
  #readAfter(seq: number): { readonly notices: readonly Notice[]; readonly position: Position } | undefined {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const commits = this.#mark.commits();
      if (commits === undefined) return undefined;
      const notices = this.#connection
        .prepare(
          `select seq, iif(octet_length(writer) <= ${maxBytes}, writer, '') as writer,
             iif(octet_length(changed) <= ${maxBytes}, changed, '"all"') as changed from changes
           where seq > ? and seq <= ${Number.MAX_SAFE_INTEGER} order by seq limit ?`,
        )
        .all([seq, keptRows + trimEvery]) as Notice[];
      if (this.#mark.commits() === commits) return { notices, position: { seq: notices.at(-1)?.seq ?? seq, commits } };
    }
    return undefined;
  }

  #newest(): number {
    const newest = `select seq from changes where seq <= ${Number.MAX_SAFE_INTEGER} order by seq desc limit 1`;
    const [row] = this.#connection.prepare(newest).all([]) as Notice[];
    return row?.seq ?? 0;
  }
}
