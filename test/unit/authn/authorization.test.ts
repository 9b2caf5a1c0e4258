// The Authorization header as AWS reads it, with signatures made by aws4; and request targets that mean "/".
// The sentences are AWS's.
import { createHash, createHmac } from 'node:crypto';
import aws4 from 'aws4';
import { describe, expect, it } from 'vitest';
import { prepareKey } from '../../../src/authn/hmac.js';
import { readClaim, signingKey, verifySignature } from '../../../src/authn/sigv4.js';
import { rootTarget } from '../../../src/authn/target.js';

const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const amzDate = '20261125T120000Z';
const body = '{}';
type Headers = Readonly<Record<string, string>>;

/** As aws4 signs it; `Date` is a header like others to it. */
function signed(extra: Headers = { 'X-Amz-Date': amzDate }, host = '127.0.0.1:4599'): Record<string, string> {
  const request = { host, method: 'POST', path: '/', service: 'kms', region: 'eu-west-1', body };
  const headers = { 'X-Amz-Target': 'TrentService.ListKeys', ...extra };
  const { headers: all = {} } = aws4.sign({ ...request, headers }, credentials);
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, String(value)]));
}

function verify(headers: Headers, url = '/'): boolean {
  const rawHeaders = Object.entries(headers).flatMap(([name, value]) => [name, value]);
  const claim = readClaim({ method: 'POST', url, rawHeaders }, rootTarget);
  const key = signingKey(credentials.secretAccessKey, claim.scope.date, claim.scope.region, claim.scope.service);
  return verifySignature(claim, Buffer.from(body), prepareKey(key));
}

const partsOf = (value = ''): string[] => value.slice('AWS4-HMAC-SHA256 '.length).split(', ');
const withAuthorization = (change: (parts: string[]) => string): Record<string, string> => {
  const headers = signed();
  return { ...headers, Authorization: change(partsOf(headers['Authorization'])) };
};
function messageOf(headers: Headers, url = '/'): string {
  try {
    verify(headers, url);
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`;
  }
  return 'none';
}

describe('the Authorization header', () => {
  it('is read in any order, blanks trimmed', () => {
    const orders = [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ];
    for (const separator of [',', ', ', ' , ', '\t,\t ']) {
      for (const order of orders) {
        const read = withAuthorization((parts) => `AWS4-HMAC-SHA256 ${order.map((at) => parts[at]).join(separator)}`);
        expect(verify(read), `${order.join()} ${JSON.stringify(separator)}`).toBe(true);
      }
    }
    const wide = withAuthorization((parts) => `AWS4-HMAC-SHA256   ${parts.join(',').replaceAll('=', ' = ')} `);
    expect(verify(wide)).toBe(true);
  });

  it('is not read laxer for its order: each part still decides', () => {
    const other = '0'.repeat(64);
    const changed = withAuthorization(
      ([credential, list]) => `AWS4-HMAC-SHA256 Signature=${other},${credential},${list}`,
    );
    expect(verify(changed)).toBe(false);
    for (const [name, value] of [
      ['host;', ''],
      ['x-amz-target', 'x-amz-targeu'],
    ] as const) {
      const fewer = withAuthorization(
        ([credential, list = '', signature]) =>
          `AWS4-HMAC-SHA256 ${signature}, ${list.replace(name, value)}, ${credential}`,
      );
      expect(messageOf(fewer)).toMatch(/^InvalidSignatureException: /);
    }
  });

  const needs = (name: string): string => `Authorization header requires '${name}' parameter.`;
  const needsDate = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
  it.each([
    ['Credential', [1, 2], [needs('Credential')]],
    ['SignedHeaders', [2, 0], [needs('SignedHeaders')]],
    ['Signature', [0, 1], [needs('Signature')]],
    ['two parts', [1], [needs('Credential'), needs('Signature')]],
    ['all', [], [needs('Credential'), needs('Signature'), needs('SignedHeaders')]],
  ])('names what is missing: %s', (_what, kept, sentences) => {
    const lacking = withAuthorization((parts) => `AWS4-HMAC-SHA256 ${kept.map((at) => parts[at]).join(', ')}`.trim());
    expect(messageOf(lacking)).toBe(`IncompleteSignatureException: ${sentences.join(' ')}`);
    delete lacking['X-Amz-Date'];
    expect(messageOf(lacking)).toBe(`IncompleteSignatureException: ${[...sentences, needsDate].join(' ')}`);
  });

  it('takes no part twice, no other part, and no part without an equal-sign', () => {
    const incomplete = /^IncompleteSignatureException: /;
    const twice = (n: number): string =>
      messageOf(withAuthorization((parts) => `AWS4-HMAC-SHA256 ${[...parts, parts[n]].join(',')}`));
    for (const n of [0, 1, 2]) expect(twice(n)).toMatch(incomplete);
    const more = (part: string): string =>
      messageOf(withAuthorization((parts) => `AWS4-HMAC-SHA256 ${[part, ...parts].join(',')}`));
    for (const part of ['Extra=1', 'credential=x', '=x', '']) expect(more(part)).toMatch(incomplete);
    // SHA-256 of "secret", of which nothing else is told.
    expect(more('secret')).toBe(
      "IncompleteSignatureException: Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): 'K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols='.",
    );
  });

  it('counts the elements of a credential', () => {
    const cut = withAuthorization((parts) => `AWS4-HMAC-SHA256 ${parts.join(',').replace('/aws4_request', '')}`);
    expect(messageOf(cut)).toMatch(
      /^IncompleteSignatureException: Credential must have exactly 5 slash-delimited elements/,
    );
  });
});

describe('the date', () => {
  // No signer does so any more: by hand, after "Signature Version 4 signing process".
  const byDate = (): Record<string, string> => {
    const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
    const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
    const scope = '20261125/eu-west-1/kms/aws4_request';
    const canonical = `POST\n/\n\ndate:${amzDate}\nhost:h\n\ndate;host\n${sha256(body)}`;
    const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${credentials.secretAccessKey}`);
    const signature = hmac(key, `AWS4-HMAC-SHA256\n${amzDate}\n${scope}\n${sha256(canonical)}`).toString('hex');
    const credential = `${credentials.accessKeyId}/${scope}`;
    const Authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=date;host, Signature=${signature}`;
    return { Host: 'h', Date: amzDate, Authorization };
  };

  it('is that of Date where there is no X-Amz-Date, if it is signed', () => {
    const headers = byDate();
    expect(Object.keys(headers)).not.toContain('X-Amz-Date');
    expect(verify(headers)).toBe(true);
    expect(verify({ ...headers, Date: '20261125T120001Z' })).toBe(false);
  });

  it('is not that of a Date which is not signed, twice there, or in another form', () => {
    const unsigned = { ...signed(), Date: amzDate };
    expect(verify(unsigned)).toBe(true);
    delete (unsigned as Record<string, string>)['X-Amz-Date'];
    expect(messageOf(unsigned)).toMatch(/^InvalidSignatureException: /);
    const headers = byDate();
    expect(messageOf({ ...headers, date: amzDate })).toMatch(/^IncompleteSignatureException: /);
    expect(messageOf({ ...headers, Date: 'Wed, 25 Nov 2026 12:00:00 GMT' })).toBe(
      "IncompleteSignatureException: Date must be in ISO-8601 'basic format'.",
    );
  });
});

describe('a request target', () => {
  it.each([
    '/',
    '//',
    '///',
    '/?',
    '//?',
    '/./',
    '/../',
    'http://127.0.0.1:4599/',
    'http://127.0.0.1:4599',
    'HTTP://127.0.0.1:4599//?',
    'https://127.0.0.1:4599/?',
  ])('%s is the path that is signed', (url) => expect(verify(signed(), url)).toBe(true));

  it.each([
    '/x',
    '/?x',
    '/?&',
    '/??',
    '/#',
    '/.../',
    '*',
    '',
    '?',
    '/%2F',
    'ftp://127.0.0.1:4599/',
    'http:///',
    'http://127.0.0.1:4599/x',
    'http://u@127.0.0.1:4599/',
    'http://127.0.0.1:4599/?x=1',
    '127.0.0.1:4599',
  ])('%s is no operation', (url) =>
    expect(messageOf(signed(), url)).toBe('UnknownOperationException: UnknownOperationException'),
  );

  it('in absolute form names the host that was signed', () => {
    const headers = signed({ 'X-Amz-Date': amzDate }, 'KMS.example:4599');
    expect(verify(headers, 'http://kms.EXAMPLE:4599/')).toBe(true);
    for (const authority of ['kms.example', 'kms.example:80', 'other.example:4599', 'kms.example:4599.other'])
      expect(messageOf(headers, `http://${authority}/`)).toMatch(/^InvalidSignatureException: /);
  });
});
