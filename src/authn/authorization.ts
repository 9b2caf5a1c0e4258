// The Authorization header, read as AWS reads it: the algorithm, then key=value parts between commas, in any order, blanks trimmed. Each part
// is needed, none may stand twice, and none but the three is taken. Nothing of it is repeated in an error.
import { hash } from 'node:crypto';
import { BridgeError } from '../kernel/errors.js';
import { remember } from './memory.js';

/** The header without its signature: the same for all that a client sends in a day. */
export interface CredentialScope {
  readonly accessKeyId: string;
  /** YYYYMMDD */
  readonly date: string;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: SignedHeaders;
}

/** The SignedHeaders list: sorted, each name once. */
export interface SignedHeaders {
  readonly text: string;
  readonly names: readonly string[];
  readonly set: ReadonlySet<string>;
}

export interface Authorization {
  readonly scope: CredentialScope;
  /** 64 small hexadecimal digits. */
  readonly signature: string;
}

export const needsDate = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";

const algorithm = /^AWS4-HMAC-SHA256(?:[ \t]+|$)/;
const signatureLength = 64;
const signatureHex = /^[0-9a-f]{64}$/;
const credentialForm = /^([A-Za-z0-9_]{1,128})\/(\d{8})\/([a-z0-9-]{1,64})\/([a-z0-9-]{1,64})\/aws4_request$/;
const signedHeadersForm = /^[a-z0-9;_.-]{1,4096}$/;

/** By the text before a signature that stands at the end. */
const scopes = new Map<string, CredentialScope>();

/** Throws IncompleteSignature. `hasDate`: the request has a date; if not, that is said together with what else is missing. */
export function readAuthorization(value: string, hasDate: boolean): Authorization {
  const before = value.slice(0, -signatureLength);
  const known = scopes.get(before);
  const last = value.slice(-signatureLength);
  if (known !== undefined && signatureHex.test(last)) return { scope: known, signature: last };
  const parts = readParts(value);
  const [credential, signature, signedHeaders] = requireAll(parts, hasDate);
  const scope = readScope(credential, signedHeaders);
  if (!signatureHex.test(signature)) throw malformed();
  // Any other signature in its place would be read as this one was.
  if (signature === last) remember(scopes, before, scope);
  return { scope, signature };
}

function readParts(value: string): ReadonlyMap<string, string> {
  const start = algorithm.exec(value)?.[0].length;
  if (start === undefined) throw malformed();
  const parts = new Map<string, string>();
  if (start === value.length) return parts;
  for (const part of value.slice(start).split(',')) {
    const at = part.indexOf('=');
    if (at < 0) {
      const digest = hash('sha256', part.trim(), 'base64');
      throw incomplete(
        `Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '${digest}'.`,
      );
    }
    const key = part.slice(0, at).trim();
    if (!isPart(key) || parts.has(key)) throw malformed();
    parts.set(key, part.slice(at + 1).trim());
  }
  return parts;
}

/** In the order in which AWS names them. */
const needed = ['Credential', 'Signature', 'SignedHeaders'] as const;
const isPart = (key: string): boolean => (needed as readonly string[]).includes(key);

function requireAll(
  parts: ReadonlyMap<string, string>,
  hasDate: boolean,
): readonly [credential: string, signature: string, signedHeaders: string] {
  const [credential = '', signature = '', signedHeaders = ''] = needed.map((key) => parts.get(key));
  const missing = needed
    .filter((key) => (parts.get(key) ?? '') === '')
    .map((key) => `Authorization header requires '${key}' parameter.`);
  if (!hasDate) missing.push(needsDate);
  if (missing.length > 0) throw incomplete(missing.join(' '));
  return [credential, signature, signedHeaders];
}

function readScope(credential: string, signedHeaders: string): CredentialScope {
  const match = credentialForm.exec(credential);
  if (match === null) {
    if (credential.split('/').length === 5) throw malformed();
    throw incomplete('Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.');
  }
  const [, accessKeyId = '', date = '', region = '', service = ''] = match;
  return { accessKeyId, date, region, service, signedHeaders: readSignedHeaders(signedHeaders) };
}

function readSignedHeaders(list: string): SignedHeaders {
  if (!signedHeadersForm.test(list)) throw malformed();
  const names = list.split(';');
  const sorted = names.every((name, i) => i === 0 || (names[i - 1] ?? '') < name);
  if (!sorted) throw incomplete('SignedHeaders must be sorted and each named once.');
  return { text: list, names, set: new Set(names) };
}

const malformed = (): BridgeError => incomplete('Authorization header is not in the form of AWS Signature Version 4.');

export function incomplete(message: string): BridgeError {
  return new BridgeError('IncompleteSignatureException', message);
}
