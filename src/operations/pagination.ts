// Markers of paginated lists: opaque to callers, bounded, and refused when they are not ours or are another operation's.
import { BridgeError } from '../kernel/errors.js';
import { boolean, required, type Structure, type ValueOf } from '../shapes/shape.js';
import * as member from './members.js';

/** Of the input and of the output of a list. */
export const pageInput = { Limit: member.limit, Marker: member.marker };
export const pageOutput = { Truncated: required(boolean), NextMarker: member.marker };

type PageInput = ValueOf<Structure<typeof pageInput>>;
type PageOutput = ValueOf<Structure<typeof pageOutput>>;

/** AWS declares InvalidMarkerException for every list but this one. */
const withoutMarkerError: ReadonlySet<string> = new Set(['ListKeyPolicies']);

const prefixOf = (operation: string): string => `m1:${operation}:`;

/** Fetches one item more than asked for, to know whether there is a next page. `nameOf` is what the list is ordered by. */
export async function paginate<T>(
  operation: string,
  input: PageInput,
  defaultLimit: number,
  nameOf: (item: T) => string,
  fetch: (page: { after: string | undefined; limit: number }) => Promise<readonly T[]>,
): Promise<PageOutput & { items: readonly T[] }> {
  const limit = input.Limit ?? defaultLimit;
  const found = await fetch({ after: readMarker(operation, input.Marker), limit: limit + 1 });
  const items = found.slice(0, limit);
  const last = items.at(-1);
  const truncated = found.length > limit && last !== undefined;
  return { items, Truncated: truncated, NextMarker: truncated ? writeMarker(operation, nameOf(last)) : undefined };
}

function writeMarker(operation: string, name: string): string {
  return Buffer.from(prefixOf(operation) + name).toString('base64url');
}

function readMarker(operation: string, marker: string | undefined): string | undefined {
  if (marker === undefined) return undefined;
  const text = Buffer.from(marker, 'base64url').toString();
  const prefix = prefixOf(operation);
  if (!text.startsWith(prefix) || writeMarker(operation, text.slice(prefix.length)) !== marker) {
    const code = withoutMarkerError.has(operation) ? 'ValidationException' : 'InvalidMarkerException';
    throw new BridgeError(code, 'The marker is not one that this operation returned.');
  }
  return text.slice(prefix.length);
}
