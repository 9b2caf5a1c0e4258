// What a record leaves out when it would be too long: one member after the other, the largest text first, each with the hash of what was
// there. What names somebody or something stays, so that nobody can push out of the log who was granted what.
import { hash } from 'node:crypto';

/** What CloudTrail puts in the place of a field that is larger than its limit. */
export const omittedJson = '{"omitted":true}';

/** A member that identifies. */
const kept = /(?:id|arn|name)$/i;
/** Structures that have such members among their own. Any other list or map is one text of its caller's. */
const structures: ReadonlySet<string> = new Set(['keyMetadata']);

interface Member {
  readonly holder: Record<string, unknown>;
  readonly name: string;
  readonly bytes: number;
}

/** The JSON of an object in at most `mostBytes`: as it is, with members omitted, or `omittedJson` when that is not enough. */
export function fitted(json: string, mostBytes: number): string {
  let excess = Buffer.byteLength(json) - mostBytes;
  if (excess <= 0) return json;
  const fields = JSON.parse(json) as unknown;
  const members = membersOf(fields).sort((a, b) => b.bytes - a.bytes);
  for (const { holder, name, bytes } of members) {
    if (excess <= 0) break;
    holder[name] = omission(holder[name]);
    excess -= bytes - byteLength(holder[name]);
  }
  return excess > 0 ? omittedJson : JSON.stringify(fields);
}

function membersOf(value: unknown): Member[] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((name) => {
    if (structures.has(name)) return membersOf(holder[name]);
    return kept.test(name) ? [] : [{ holder, name, bytes: byteLength(holder[name]) }];
  });
}

/** SHA-256 over a text's UTF-8, or over the JSON of anything else as the record would have shown it. */
function omission(value: unknown): object {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return { omitted: true, sha256: hash('sha256', text), bytes: Buffer.byteLength(text) };
}

const byteLength = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
