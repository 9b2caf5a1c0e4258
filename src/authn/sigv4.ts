// AWS Signature Version 4 of one header-signed request, checked strictly. Pure: no I/O, no clock, no credential store.
// Every `x-amz-*` header and `host` must be signed, the body is always hashed, nothing ambiguous is accepted
// (AWS General Reference, "Signature Version 4 signing process").
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { BridgeError } from '../kernel/errors.js';
import type { RequestHead } from '../model/request.js';
import { type CredentialScope, incomplete, needsDate, readAuthorization, type SignedHeaders } from './authorization.js';
import { hmacSha256, type PreparedKey } from './hmac.js';
import { remember } from './memory.js';
import type { ReadTarget } from './target.js';

/** What a request claims, read strictly but not believed until `verifySignature` says so. */
export interface SignatureClaim {
  /** Method, path and query as they are signed: a line each. */
  readonly target: string;
  readonly scope: CredentialScope;
  readonly signature: Buffer;
  /** Of X-Amz-Date, or of Date without it: YYYYMMDDTHHMMSSZ. */
  readonly amzDate: string;
  readonly headers: ReadonlyMap<string, string>;
}

export const skewMs = 5 * 60_000;

const unrepeatable = new Set([
  'authorization',
  'host',
  'date',
  'x-amz-date',
  'x-amz-target',
  'x-amz-security-token',
  'x-amz-content-sha256',
]);
const isoBasic = /^\d{8}T\d{6}Z$/;

/**
 * Reads the claim. Errors: those of `readTarget` (what is not served), MissingAuthenticationToken (no Authorization), IncompleteSignature (something is
 * missing, ambiguous or malformed), InvalidSignature (a header that must be signed is not).
 */
export function readClaim({ method, url, rawHeaders }: RequestHead, readTarget: ReadTarget): SignatureClaim {
  const { authority, signed: target } = readTarget(method, url);
  const headers = collectHeaders(rawHeaders);
  const value = headers.get('authorization');
  if (value === undefined) throw new BridgeError('MissingAuthenticationTokenException', 'Missing Authentication Token');
  const date = headers.get('x-amz-date') ?? headers.get('date');
  const { scope, signature } = readAuthorization(value, date !== undefined);
  if (date === undefined) throw incomplete(needsDate);
  if (!isoBasic.test(date)) throw incomplete("Date must be in ISO-8601 'basic format'.");
  requireSigned(headers, scope.signedHeaders);
  // Such a target replaces Host (RFC 9112, 3.2.2), which is what was signed: they must be the same.
  if (authority !== undefined && headers.get('host')?.toLowerCase() !== authority)
    throw invalid("The request target names another authority than the signed 'Host'.");
  return { target, scope, signature: Buffer.from(signature, 'hex'), amzDate: date, headers };
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
export function verifySignature(claim: SignatureClaim, body: Buffer, key: PreparedKey): boolean {
  const bodyHash = hash('sha256', body);
  const stated = claim.headers.get('x-amz-content-sha256');
  const { date, region, service } = claim.scope;
  const scope = `${date}/${region}/${service}/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n${claim.amzDate}\n${scope}\n${hash('sha256', canonicalRequest(claim, bodyHash))}`;
  const expected = hmacSha256(key, toSign);
  return timingSafeEqual(expected, claim.signature) && (stated === undefined || stated === bodyHash);
}

function canonicalRequest(claim: SignatureClaim, bodyHash: string): string {
  let lines = '';
  const { signedHeaders } = claim.scope;
  for (const name of signedHeaders.names) lines += `${name}:${claim.headers.get(name) ?? ''}\n`;
  return `${claim.target}${lines}\n${signedHeaders.text}\n${bodyHash}`;
}

const lowerCased = new Map<string, string>();

function collectHeaders(raw: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const written = raw[i] ?? '';
    const name = lowerCased.get(written) ?? remember(lowerCased, written, written.toLowerCase());
    // The parser has trimmed the value; runs of spaces inside it count as one.
    const sent = raw[i + 1] ?? '';
    const value = sent.includes('  ') ? sent.replace(/ {2,}/g, ' ') : sent;
    const before = headers.get(name);
    if (before !== undefined && unrepeatable.has(name)) throw incomplete('A header of the signature was sent twice.');
    headers.set(name, before === undefined ? value : `${before},${value}`);
  }
  return headers;
}

function requireSigned(headers: ReadonlyMap<string, string>, signed: SignedHeaders): void {
  if (!signed.set.has('host'))
    throw invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
  if (!headers.has('x-amz-date') && !signed.set.has('date'))
    throw invalid("'X-Amz-Date' or 'Date' must be a 'SignedHeader' in the AWS Authorization.");
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

function invalid(message: string): BridgeError {
  return new BridgeError('InvalidSignatureException', message);
}
