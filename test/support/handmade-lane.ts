// An audit lane made by hand after docs/formats/audit-log.md, without the project's code, so that a test has many files at once and knows
// what must hold.
import { createHash } from 'node:crypto';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface HandmadeLane {
  readonly folder: string;
  /** Ascending. */
  readonly paths: readonly string[];
  readonly lastSeq: number;
  readonly lastHash: string;
}

export interface HandmadeOptions {
  readonly lane?: number;
  readonly files?: number;
  readonly linesPerFile?: number;
  /** Leaves the mark of a close. */
  readonly closed?: boolean;
  readonly kind?: (seq: number) => 'event' | 'intent';
  readonly record?: (seq: number) => string;
}

const twoDigits = (n: number): string => String(n % 60).padStart(2, '0');

/** Record n has `eventTime` 2026-11-27T10:00:n Z. */
export const handmadeRecord = (seq: number): string =>
  `{"eventTime":"2026-11-27T10:00:${twoDigits(seq)}Z","eventName":"Encrypt","requestID":"request-${seq}"}`;

export function makeLane(home: string, options: HandmadeOptions = {}): HandmadeLane {
  const {
    lane = 0,
    files = 3,
    linesPerFile = 3,
    closed = true,
    kind = () => 'event',
    record = handmadeRecord,
  } = options;
  const folder = join(home, 'audit', `lane-${lane}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const paths: string[] = [];
  let lastHash = '0'.repeat(64);
  for (let file = 0, seq = 1; file < files; file++) {
    const path = join(folder, `${String(seq).padStart(12, '0')}.jsonl`);
    let text = '';
    for (let n = 0; n < linesPerFile; n++, seq++) {
      const line = `{"lane":${lane},"seq":${seq},"prev":"${lastHash}","kind":"${kind(seq)}","record":${record(seq)}}\n`;
      lastHash = createHash('sha256').update(line).digest('hex');
      text += line;
    }
    writeFileSync(path, text, { mode: 0o600 });
    paths.push(path);
  }
  const lastSeq = files * linesPerFile;
  const hash = Buffer.from(lastHash, 'hex').toString('base64url');
  if (closed) symlinkSync(`${lastSeq}.${hash}`, join(folder, `closed-${String(lastSeq).padStart(12, '0')}`));
  return { folder, paths, lastSeq, lastHash };
}
