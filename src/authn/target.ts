// Request targets (RFC 9112, 3.2) that mean "/", the only path of the KMS API, in the form that is signed for it. What is not one of them, and
// every query, stays unserved: it would go unsigned.
import { BridgeError } from '../kernel/errors.js';

const absoluteForm = /^https?:\/\/([^/?#@]{1,300})(.*)$/i;

/**
 * The authority that the target names, in small letters; undefined when it names none. Throws UnknownOperation for a path that SigV4 does not
 * normalise to "/", and for a query that is not empty.
 */
export function readTarget(url: string): string | undefined {
  if (url === '/') return undefined;
  const [, authority, rest = url] = absoluteForm.exec(url) ?? [];
  const path = rest.endsWith('?') ? rest.slice(0, -1) : rest;
  // An absolute form may have no path at all (RFC 9110, 4.2.3).
  if (!isRoot(path) && !(path === '' && authority !== undefined)) throw new BridgeError('UnknownOperationException');
  return authority?.toLowerCase();
}

/** Empty segments and dot segments are what normalisation removes ("Signature Version 4 signing process", canonical URI; RFC 3986, 5.2.4). */
function isRoot(path: string): boolean {
  return path.startsWith('/') && path.split('/').every((part) => part === '' || part === '.' || part === '..');
}
