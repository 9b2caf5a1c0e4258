// The suite itself: it makes text for every pattern of the model, and a lie of each kind is found.
import { describe, expect, it } from 'vitest';
import { findings } from './findings.js';
import { matches, matching, notMatching } from './patterns.js';
import { model } from './service-model.js';
import type { Answer } from './world.js';

const patterns = Object.entries(model.shapes).flatMap(([name, shape]) =>
  shape.type === 'string' && shape.pattern !== undefined ? [[name, shape.pattern, shape] as const] : [],
);

it.each(patterns)('makes text for the pattern of %s: %s', (_, pattern, { min = 1, max = 64 }) => {
  const text = matching(pattern, Math.max(1, min));
  expect(matches(pattern, text) && text.length <= max).toBe(true);
  const odd = notMatching(pattern, Math.max(1, min));
  if (odd !== undefined) expect(matches(pattern, odd)).toBe(false);
});

describe('a lie is found', () => {
  const success = (body: object): Answer => ({ status: 200, text: JSON.stringify(body), body });
  const error = (type: string, message: string, status = 400): Answer => {
    const body = { __type: type, message };
    return { status, text: JSON.stringify(body), body };
  };
  const ok = success({ Plaintext: 'YQ==' });
  const tooLarge =
    "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024";
  it.each<[string, number | string | undefined, Answer, RegExp | undefined]>([
    ['the truth', 1024, ok, undefined],
    ['the truth about a violation', 1025, error('ValidationException', tooLarge), undefined],
    ['a bound that is not kept', 1025, ok, /is due, not success$/],
    ['a bound that is too narrow', 1025, error('ValidationException', tooLarge.replace('1024', '1000')), /is due, not/],
    ['another error for it', 1025, error('AccessDeniedException', tooLarge), /is due, not/],
    ['a violation where there is none', 1024, error('ValidationException', tooLarge), /^the model lets it through/],
    ['a wrong type that is taken', '1', ok, /^SerializationException STRING_VALUE .* is due, not success$/],
    ['an error that is not declared', 32, error('NotFoundException', 'x'), /^NotFoundException is not declared/],
    ['an error with another status', 32, error('ThrottlingException', 'x', 429), /has status 429$/],
    ['a member that there is not', 32, success({ Plaintext: 'YQ==', Extra: 1 }), /\.Extra is no member$/],
    ['a member of another type', 32, success({ Plaintext: 1 }), /\.Plaintext is no blob: 1$/],
    ['bytes that are no base64', 32, success({ Plaintext: 'YQ' }), /\.Plaintext is no blob/],
  ])('%s', (_, NumberOfBytes, answer, finding) => {
    const lines = findings(model.operations['GenerateRandom']!, { NumberOfBytes }, answer);
    if (finding === undefined) expect(lines).toEqual([]);
    else expect(lines).toEqual([expect.stringMatching(finding)]);
  });
});
