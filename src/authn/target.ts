// Request targets (RFC 9112, 3.2) in the form that is signed for them ("Signature Version 4 signing process", canonical URI and canonical
// query string). What has no such form beyond doubt is not served: it would go unsigned.
import { BridgeError } from '../kernel/errors.js';

export interface SignedTarget {
  /** The authority that the target names, in small letters; undefined when it names none. */
  readonly authority: string | undefined;
  /** The first three lines of the canonical request: method, path, query. */
  readonly signed: string;
}

/** Throws BridgeError UnknownOperation for what is not served. */
export type ReadTarget = (method: string, url: string) => SignedTarget;

const absoluteForm = /^https?:\/\/([^/?#@]{1,300})(.*)$/i;
const postToRoot: SignedTarget = { authority: undefined, signed: 'POST\n/\n\n' };

/**
 * Of a protocol that has the operation in a header or in the body: POST to what SigV4 normalises to "/", without a query. Presigned forms
 * are not served.
 */
export function rootTarget(method: string, url: string): SignedTarget {
  if (method !== 'POST') throw unknown();
  if (url === '/') return postToRoot;
  const [, authority, rest = url] = absoluteForm.exec(url) ?? [];
  const path = rest.endsWith('?') ? rest.slice(0, -1) : rest;
  // An absolute form may have no path at all (RFC 9110, 4.2.3).
  if (!isRoot(path) && !(path === '' && authority !== undefined)) throw unknown();
  return { authority: authority?.toLowerCase(), signed: postToRoot.signed };
}

/** Empty segments and dot segments are what normalisation removes (RFC 3986, 5.2.4). */
function isRoot(path: string): boolean {
  return path.startsWith('/') && path.split('/').every((part) => part === '' || part === '.' || part === '..');
}

const methodForm = /^[A-Z]{1,16}$/;
/** RFC 3986, 3.3 and 3.4, in origin form. A plus in a query is a blank to some and a plus to others. */
const restForm =
  /^(\/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)(?:\?((?:[A-Za-z0-9._~!$&'()*,;=:@/?-]|%[0-9A-Fa-f]{2})*))?$/;

/** Of a protocol that has the operation in method, path and query: any of them, in origin form. */
export function restTarget(method: string, url: string): SignedTarget {
  const [, path, query = ''] = restForm.exec(url) ?? [];
  if (path === undefined || !methodForm.test(method)) throw unknown();
  return { authority: undefined, signed: `${method}\n${canonicalPath(path)}\n${canonicalQuery(query)}\n` };
}

/** Without empty and dot segments, and each segment, which came encoded, encoded once more: so all services but S3 want it. */
function canonicalPath(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(encode(segment));
  }
  return `/${kept.join('/')}${kept.length > 0 && path.endsWith('/') ? '/' : ''}`;
}

/** Sorted by name, then by value, both encoded; a name without a value gets an empty one. */
function canonicalQuery(query: string): string {
  if (query === '') return '';
  const pairs = query.split('&').map((part) => {
    const at = part.indexOf('=');
    return at < 0
      ? [encode(decode(part)), '']
      : [encode(decode(part.slice(0, at))), encode(decode(part.slice(at + 1)))];
  });
  const order = (a: string | undefined, b: string | undefined): number =>
    a === b ? 0 : (a ?? '') < (b ?? '') ? -1 : 1;
  return pairs
    .sort(([name, value], [otherName, otherValue]) => order(name, otherName) || order(value, otherValue))
    .map((pair) => pair.join('='))
    .join('&');
}

/** RFC 3986, 2.3: all but the unreserved characters. */
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw unknown();
  }
}

const unknown = (): BridgeError => new BridgeError('UnknownOperationException');
