// The lane's chain: how one line is made, hashed and read back. docs/formats/audit-log.md is its specification.
import { hash } from 'node:crypto';
import type { AuditKind } from '../ports/audit.js';

/** `prev` of the first record of a lane. */
export const genesis = '0'.repeat(64);

/** The record before the next one: its number, 0 before the first, and the SHA-256 of its line, in hex. */
export interface ChainHead {
  readonly seq: number;
  readonly hash: string;
}

/** `record`: serialised JSON without a line feed. */
export function chainLine(lane: number, head: ChainHead, kind: AuditKind, record: string): string {
  return `{"lane":${lane},"seq":${head.seq + 1},"prev":"${head.hash}","kind":"${kind}","record":${record}}\n`;
}

/** SHA-256 over the line's UTF-8 bytes with its line feed. */
export const lineHash = (line: string | Buffer): string => hash('sha256', line);

export interface ChainRecord {
  readonly kind: AuditKind;
  /** Part of the line. */
  readonly record: Buffer;
}

const lineHead = /^\{"lane":(\d+),"seq":(\d+),"prev":"([0-9a-f]{64})","kind":"(event|intent)","record":(?=\{)/;
export const longestHeadBytes = 200;

/**
 * Reads one line that should follow `head`; `head.hash` undefined takes any `prev`. A string says what is wrong with it.
 * The record itself is not parsed: the chain says whether it changed.
 */
export function readLine(
  line: Buffer,
  lane: number,
  head: { readonly seq: number; readonly hash: string | undefined },
): ChainRecord | string {
  const match = lineHead.exec(line.toString('latin1', 0, longestHeadBytes));
  if (match === null || line.length < match[0].length + 4 || line.toString('latin1', line.length - 3) !== '}}\n') {
    return 'not a line of an audit log';
  }
  const [start, laneText, seqText, prev, kind] = match;
  if (laneText !== String(lane)) return `lane ${String(laneText)} instead of ${lane}`;
  if (seqText !== String(head.seq + 1)) return `record ${String(seqText)} where record ${head.seq + 1} should be`;
  if (head.hash !== undefined && prev !== head.hash) return 'its prev is not the hash of the line before';
  return { kind: kind === 'intent' ? 'intent' : 'event', record: line.subarray(start.length, line.length - 2) };
}

export interface BadLine {
  /** The file's name; undefined when there is no file. */
  readonly file: string | undefined;
  /** 1 is the first; one more than the file has: something is missing after its end. */
  readonly line: number;
  readonly reason: string;
}

/** Where a lane first does not hold. One line, no path but the file's name, and nothing of what the file says but numbers. */
export class ChainError extends Error {
  readonly bad: BadLine;

  constructor(file: string | undefined, line: number, reason: string) {
    super(file === undefined ? reason : `${file} line ${line}: ${reason}`);
    this.name = 'ChainError';
    this.bad = { file, line, reason };
  }
}
