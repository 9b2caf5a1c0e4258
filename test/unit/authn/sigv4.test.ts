// The verifier against signatures made by aws4, an independent signer, and against requests changed after signing.
import aws4 from 'aws4';
import { describe, expect, it } from 'vitest';
import { checkSkew, readClaim as readClaimOf, signingKey, verifySignature } from '../../../src/authn/sigv4.js';
import { restTarget, rootTarget } from '../../../src/authn/target.js';
import { prepareKey } from '../../../src/authn/hmac.js';
import { BridgeError } from '../../../src/kernel/errors.js';
import type { RequestHead } from '../../../src/model/request.js';

type SignedRequest = RequestHead & { readonly body: Buffer };

const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const at = Date.UTC(2026, 10, 25, 12, 0, 0);

function signed(extra: Record<string, string> = {}, body = '{"NumberOfBytes":32}'): SignedRequest {
  const options = aws4.sign(
    {
      host: '127.0.0.1:4599',
      method: 'POST',
      path: '/',
      service: 'kms',
      region: 'ap-northeast-2',
      body,
      headers: {
        'Content-Type': 'application/x-amz-json-1.1',
        'X-Amz-Target': 'TrentService.GenerateRandom',
        'X-Amz-Date': '20261125T120000Z',
        ...extra,
      },
    },
    credentials,
  );
  const rawHeaders = Object.entries(options.headers ?? {}).flatMap(([name, value]) => [name, String(value)]);
  return { method: 'POST', url: '/', rawHeaders, body: Buffer.from(body) };
}

const readClaim = (request: RequestHead) => readClaimOf(request, rootTarget);

function verify(request: SignedRequest, readTarget = rootTarget): boolean {
  const claim = readClaimOf(request, readTarget);
  return verifySignature(
    claim,
    request.body,
    prepareKey(signingKey(credentials.secretAccessKey, claim.scope.date, claim.scope.region, claim.scope.service)),
  );
}

function withHeader(request: SignedRequest, name: string, value: string): SignedRequest {
  const rawHeaders = request.rawHeaders.map((item, i) =>
    i % 2 === 1 && request.rawHeaders[i - 1]?.toLowerCase() === name ? value : item,
  );
  return { ...request, rawHeaders };
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof BridgeError) return error.code;
    throw error;
  }
  return 'none';
}

describe('SigV4', () => {
  it('derives the signing key AWS publishes', () => {
    const key = signingKey('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', '20150830', 'us-east-1', 'iam');
    expect(key.toString('hex')).toBe('c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9');
  });

  it('accepts what an independent signer signed', () => {
    expect(verify(signed())).toBe(true);
    expect(verify(signed({}, JSON.stringify({ Description: '열쇠는 토큰 안에서 태어난다' })))).toBe(true);
  });

  it('refuses a changed body, target, host or date', () => {
    const request = signed();
    expect(verify({ ...request, body: Buffer.from('{"NumberOfBytes":33}') })).toBe(false);
    expect(verify(withHeader(request, 'x-amz-target', 'TrentService.Decrypt'))).toBe(false);
    expect(verify(withHeader(request, 'host', '127.0.0.1:4600'))).toBe(false);
    expect(verify(withHeader(request, 'x-amz-date', '20261125T120001Z'))).toBe(false);
  });

  it('refuses each one-bit change of the signature', () => {
    const request = signed();
    const value = request.rawHeaders[request.rawHeaders.findIndex((item) => item === 'Authorization') + 1] ?? '';
    const signature = value.slice(-64);
    for (let bit = 0; bit < 256; bit++) {
      const bytes = Buffer.from(signature, 'hex');
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(verify(withHeader(request, 'authorization', value.slice(0, -64) + bytes.toString('hex')))).toBe(false);
    }
  });

  it('hashes the body whatever x-amz-content-sha256 says', () => {
    expect(verify(signed({ 'X-Amz-Content-Sha256': 'UNSIGNED-PAYLOAD' }))).toBe(false);
    expect(
      verify(signed({ 'X-Amz-Content-Sha256': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' })),
    ).toBe(false);
  });

  it('names what is wrong with the header', () => {
    const request = signed();
    expect(codeOf(() => readClaim({ ...request, rawHeaders: ['Host', 'x'] }))).toBe(
      'MissingAuthenticationTokenException',
    );
    expect(codeOf(() => readClaim(withHeader(request, 'authorization', 'Bearer x')))).toBe(
      'IncompleteSignatureException',
    );
    const added = { ...request, rawHeaders: [...request.rawHeaders, 'X-Amz-Security-Token', 't'] };
    expect(codeOf(() => readClaim(added))).toBe('InvalidSignatureException');
    const twice = { ...request, rawHeaders: [...request.rawHeaders, 'X-Amz-Target', 'TrentService.Decrypt'] };
    expect(codeOf(() => readClaim(twice))).toBe('IncompleteSignatureException');
  });

  it('allows five minutes of skew, not more, and says so in the words clients parse', () => {
    const claim = readClaim(signed());
    expect(() => checkSkew(claim, at + 5 * 60_000)).not.toThrow();
    expect(() => checkSkew(claim, at - 5 * 60_000)).not.toThrow();
    expect(() => checkSkew(claim, at + 5 * 60_000 + 1000)).toThrow(
      'Signature expired: 20261125T120000Z is now earlier than 20261125T120001Z (20261125T120501Z - 5 min.)',
    );
    expect(() => checkSkew(claim, at - 5 * 60_000 - 1000)).toThrow(
      'Signature not yet current: 20261125T120000Z is still later than 20261125T115959Z (20261125T115459Z + 5 min.)',
    );
  });
});

describe('a target with method, path and query', () => {
  function requested(method: string, url: string): SignedRequest {
    const headers = { 'X-Amz-Date': '20261125T120000Z' };
    const signedUrl = {
      host: '127.0.0.1:4599',
      method,
      path: url,
      service: 'kms',
      region: 'eu-west-1',
      body: '',
      headers,
    };
    const rawHeaders = Object.entries(aws4.sign(signedUrl, credentials).headers ?? {}).flatMap(([name, value]) => [
      name,
      String(value),
    ]);
    return { method, url, rawHeaders, body: Buffer.alloc(0) };
  }

  const urls = [
    '/',
    '/keys/1234/policy',
    '/keys//./x/../1234/',
    '/a/b/..',
    '/a/..',
    '/../..',
    '/caf%C3%A9/a%2Fb',
    "/it's(1)!/*",
    '/?Action=ListUsers&Version=2010-05-08',
    '/keys?b=2&a=1&b=1&empty=&%C3%A9=%E2%82%AC',
    '/keys?A=1&a=2&a-b=3&ab=4',
    "/keys?q=it's(1)!*~%20%2B",
  ];
  it.each(urls)('is signed as an independent signer signs it: %s', (url) => {
    expect(verify(requested('GET', url), restTarget)).toBe(true);
    expect(verify(requested('DELETE', url), restTarget)).toBe(true);
  });

  it('changes the signature in each of its parts', () => {
    const request = requested('GET', '/keys?a=1');
    for (const other of [{ method: 'PUT' }, { url: '/key?a=1' }, { url: '/keys?a=2' }, { url: '/keys' }])
      expect(verify({ ...request, ...other }, restTarget)).toBe(false);
  });

  it.each(['/keys?a=1+1', '/keys?a=%', '/keys?a=%FF', '/keys?a=1#b', 'http://x/keys', '*', '/k\u00e9ys', ''])(
    'is not served when it can be read in two ways or in none: %s',
    (url) => {
      expect(codeOf(() => readClaimOf({ ...requested('GET', '/'), url }, restTarget))).toBe(
        'UnknownOperationException',
      );
    },
  );

  it('is POST to / alone for a protocol that has the operation elsewhere', () => {
    for (const [method, url] of [
      ['GET', '/'],
      ['POST', '/keys'],
      ['POST', '/?a=1'],
    ] as const)
      expect(codeOf(() => readClaim(requested(method, url)))).toBe('UnknownOperationException');
  });
});
