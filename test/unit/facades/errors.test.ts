// HTTP statuses as the AWS KMS API reference prints them ("Errors" of each operation, "Common Errors").
import { expect, it } from 'vitest';
import { statusOf } from '../../../src/facades/aws-json/errors.js';
import { type ErrorCode, errorCodes } from '../../../src/kernel/errors.js';

it('says 500 for what is the service’s fault, 413 for what is too large, and 400 for the rest', () => {
  const codes = Object.keys(errorCodes) as ErrorCode[];
  expect(codes.filter((code) => statusOf(code) === 500)).toEqual([
    'DependencyTimeoutException',
    'KMSInternalException',
    'KeyUnavailableException',
  ]);
  expect(codes.filter((code) => statusOf(code) === 413)).toEqual(['RequestEntityTooLargeException']);
  expect(new Set(codes.map(statusOf))).toEqual(new Set([400, 413, 500]));
});
