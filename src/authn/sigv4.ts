// AWS Signature Version 4 of one header-signed request, checked strictly. Pure: no I/O, no clock, no credential store.
// Every `x-amz-*` header and `host` must be signed, the body is always hashed, nothing ambiguous is accepted
// (AWS General Reference, "Signature Version 4 signing process").
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { BridgeError } from '../kernel/errors.js';
import type { SignedRequest } from '../model/request.js';
import { hmacSha256, type PreparedKey } from './hmac.js';

/** The Authorization header without its signature: the same for all that a client sends in a day. */
export interface CredentialScope {
  readonly accessKeyId: string;
  /** YYYYMMDD */
  readonly date: string;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: SignedHeaders;
}

/** What a request claims, read strictly but not believed until `verifySignature` says so. */
export interface SignatureClaim {
  readonly scope: CredentialScope;
  readonly signature: Buffer;
  /** YYYYMMDDTHHMMSSZ */
  readonly amzDate: string;
  readonly headers: ReadonlyMap<string, string>;
}

/** The SignedHeaders list: sorted, each name once. */
export interface SignedHeaders {
  readonly text: string;
  readonly names: readonly string[];
  readonly set: ReadonlySet<string>;
}

export const skewMs = 5 * 60_000;

const unrepeatable = new Set([
  'authorization',
  'host',
  'x-amz-date',
  'x-amz-target',
  'x-amz-security-token',
  'x-amz-content-sha256',
]);
const signatureHex = /^[0-9a-f]{64}$/;
const beforeSignature =
  /^AWS4-HMAC-SHA256 +Credential=([A-Za-z0-9_]{1,128})\/(\d{8})\/([a-z0-9-]{1,64})\/([a-z0-9-]{1,64})\/aws4_request, *SignedHeaders=([a-z0-9;_.-]{1,4096}), *Signature=$/;

/**
 * Reads the claim. Errors: UnknownOperation (not POST /), MissingAuthenticationToken (no Authorization), IncompleteSignature (not the one form accepted),
 * InvalidSignature (a header that must be signed is not).
 */
export function readClaim(request: SignedRequest): SignatureClaim {
  // Presigned and path-carrying forms are not served; their query would otherwise go unsigned.
  if (request.url !== '/' || request.method !== 'POST') throw new BridgeError('UnknownOperationException');
  const headers = collectHeaders(request.rawHeaders);
  const value = headers.get('authorization');
  if (value === undefined) throw new BridgeError('MissingAuthenticationTokenException', 'Missing Authentication Token');
  const signature = value.slice(-64);
  if (!signatureHex.test(signature)) throw malformed();
  const scope = remember(scopes, value.slice(0, -64), readScope);
  const amzDate = headers.get('x-amz-date');
  if (amzDate === undefined || !/^\d{8}T\d{6}Z$/.test(amzDate)) {
    throw incomplete("Authorization header requires existence of a valid 'X-Amz-Date' header.");
  }
  requireSigned(headers, scope.signedHeaders);
  return { scope, signature: Buffer.from(signature, 'hex'), amzDate, headers };
}

function readScope(text: string): CredentialScope {
  const match = beforeSignature.exec(text);
  if (match === null) throw malformed();
  const [, accessKeyId = '', date = '', region = '', service = '', signedList = ''] = match;
  return { accessKeyId, date, region, service, signedHeaders: readSignedHeaders(signedList) };
}

/** Throws InvalidSignature when the request's time is more than five minutes from `nowMs`, in AWS's words. */
export function checkSkew(claim: SignatureClaim, nowMs: number): void {
  const at = parseAmzDate(claim.amzDate);
  if (Number.isNaN(at) || !claim.amzDate.startsWith(claim.scope.date)) {
    throw invalid('Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.');
  }
  if (Math.abs(at - nowMs) <= skewMs) return;
  const early = at < nowMs;
  const bound = amzDateOf(early ? nowMs - skewMs : nowMs + skewMs);
  throw invalid(
    early
      ? `Signature expired: ${claim.amzDate} is now earlier than ${bound} (${amzDateOf(nowMs)} - 5 min.)`
      : `Signature not yet current: ${claim.amzDate} is still later than ${bound} (${amzDateOf(nowMs)} + 5 min.)`,
  );
}

/** HMAC chain of the secret over the scope: 32 bytes, the same for a whole day, so callers may keep it. */
export function signingKey(secret: string, date: string, region: string, service: string): Buffer {
  const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest();
  return hmac(hmac(hmac(hmac(`AWS4${secret}`, date), region), service), 'aws4_request');
}

/** Whether the signature is the one `key` gives. Compares in constant time; the body is hashed whatever its header says. */
export function verifySignature(request: SignedRequest, claim: SignatureClaim, key: PreparedKey): boolean {
  const bodyHash = hash('sha256', request.body);
  const stated = claim.headers.get('x-amz-content-sha256');
  const { date, region, service } = claim.scope;
  const scope = `${date}/${region}/${service}/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n${claim.amzDate}\n${scope}\n${hash('sha256', canonicalRequest(request, claim, bodyHash))}`;
  const expected = hmacSha256(key, toSign);
  return timingSafeEqual(expected, claim.signature) && (stated === undefined || stated === bodyHash);
}

function canonicalRequest(request: SignedRequest, claim: SignatureClaim, bodyHash: string): string {
  let lines = '';
  const { signedHeaders } = claim.scope;
  for (const name of signedHeaders.names) lines += `${name}:${claim.headers.get(name) ?? ''}\n`;
  return `${request.method}\n/\n\n${lines}\n${signedHeaders.text}\n${bodyHash}`;
}

/** Clients send the same few names and scopes over and over: each is read once. A stranger's long ones are not kept. */
const maxRemembered = 1000;
const maxRememberedLength = 512;
const lowerCased = new Map<string, string>();
const scopes = new Map<string, CredentialScope>();

function remember<T>(memory: Map<string, T>, text: string, make: (text: string) => T): T {
  const known = memory.get(text);
  if (known !== undefined) return known;
  const made = make(text);
  if (text.length > maxRememberedLength) return made;
  if (memory.size >= maxRemembered) memory.clear();
  memory.set(text, made);
  return made;
}

function collectHeaders(raw: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = remember(lowerCased, raw[i] ?? '', (text) => text.toLowerCase());
    // The parser has trimmed the value; runs of spaces inside it count as one.
    const sent = raw[i + 1] ?? '';
    const value = sent.includes('  ') ? sent.replace(/ {2,}/g, ' ') : sent;
    const before = headers.get(name);
    if (before !== undefined && unrepeatable.has(name)) throw incomplete('A header of the signature was sent twice.');
    headers.set(name, before === undefined ? value : `${before},${value}`);
  }
  return headers;
}

function readSignedHeaders(list: string): SignedHeaders {
  const names = list.split(';');
  const sorted = names.every((name, i) => i === 0 || (names[i - 1] ?? '') < name);
  if (!sorted) throw incomplete('SignedHeaders must be sorted and each named once.');
  return { text: list, names, set: new Set(names) };
}

function requireSigned(headers: ReadonlyMap<string, string>, signed: SignedHeaders): void {
  if (!signed.set.has('host'))
    throw invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
  for (const name of signed.names) {
    if (!headers.has(name)) throw invalid('A signed header is missing from the request.');
  }
  for (const name of headers.keys()) {
    if (name.startsWith('x-amz-') && !signed.set.has(name)) {
      throw invalid("Every 'X-Amz-*' header must be a 'SignedHeader' in the AWS Authorization.");
    }
  }
}

let lastDate = { text: '', ms: NaN };

/** Requests of one second carry the same text: it is parsed once. */
function parseAmzDate(text: string): number {
  if (lastDate.text !== text) {
    const [, y, mo, d, h, mi, s] = /^(....)(..)(..)T(..)(..)(..)Z$/.exec(text) ?? [];
    lastDate = { text, ms: Date.parse(`${y ?? ''}-${mo ?? ''}-${d ?? ''}T${h ?? ''}:${mi ?? ''}:${s ?? ''}Z`) };
  }
  return lastDate.ms;
}

function amzDateOf(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d{3}/g, '');
}

const malformed = (): BridgeError => incomplete('Authorization header is not in the form of AWS Signature Version 4.');

function incomplete(message: string): BridgeError {
  return new BridgeError('IncompleteSignatureException', message);
}

function invalid(message: string): BridgeError {
  return new BridgeError('InvalidSignatureException', message);
}
