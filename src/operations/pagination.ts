// Markers of paginated lists: opaque to callers, bounded, and refused when they are not ours.
import { BridgeError } from '../kernel/errors.js';

export interface PageInput {
  readonly Limit: number | undefined;
  readonly Marker: string | undefined;
}

export interface PageOutput {
  readonly Truncated: boolean;
  readonly NextMarker: string | undefined;
}

const prefix = 'm1:';

/** Fetches one item more than asked for, to know whether there is a next page. `nameOf` is what the list is ordered by. */
export async function paginate<T>(
  input: PageInput,
  defaultLimit: number,
  nameOf: (item: T) => string,
  fetch: (page: { after: string | undefined; limit: number }) => Promise<readonly T[]>,
): Promise<PageOutput & { items: readonly T[] }> {
  const limit = input.Limit ?? defaultLimit;
  const found = await fetch({ after: readMarker(input.Marker), limit: limit + 1 });
  const items = found.slice(0, limit);
  const last = items.at(-1);
  const truncated = found.length > limit && last !== undefined;
  return { items, Truncated: truncated, NextMarker: truncated ? writeMarker(nameOf(last)) : undefined };
}

function writeMarker(name: string): string {
  return Buffer.from(prefix + name).toString('base64url');
}

function readMarker(marker: string | undefined): string | undefined {
  if (marker === undefined) return undefined;
  const text = Buffer.from(marker, 'base64url').toString();
  if (!text.startsWith(prefix) || writeMarker(text.slice(prefix.length)) !== marker) {
    throw new BridgeError('InvalidMarkerException', 'The marker is not one that this operation returned.');
  }
  return text.slice(prefix.length);
}
