// Markers of paginated lists: opaque to callers, bounded, and refused when they are not ours or are another operation's.
import { BridgeError } from '../kernel/errors.js';

export interface PageInput {
  readonly Limit: number | undefined;
  readonly Marker: string | undefined;
}

export interface PageOutput {
  readonly Truncated: boolean;
  readonly NextMarker: string | undefined;
}

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
    throw new BridgeError('InvalidMarkerException', 'The marker is not one that this operation returned.');
  }
  return text.slice(prefix.length);
}
