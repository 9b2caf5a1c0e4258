// Compiled policies are bounded by what they hold, however many keys there are and however their policies are written.
import { describe, expect, it } from 'vitest';
import { PolicyMemory } from '../../../src/pipeline/policy-memory.js';
import { parseKeyPolicy } from '../../../src/policy/document.js';

const statement = (sid: string): object => ({
  Sid: sid,
  Effect: 'Deny',
  Principal: '*',
  Action: 'kms:A*',
  Resource: 'arn:*',
});
const policyOf = (n: number, statements: number): string =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: Array.from({ length: statements }, (_, index) => statement(`s${n}x${index}`)),
  });

describe('PolicyMemory', () => {
  it('holds no more than its limit, and keeps what is used', () => {
    const limitBytes = 2_000_000;
    const memory = new PolicyMemory(limitBytes);
    const hot = policyOf(-1, 1);
    memory.set(hot, parseKeyPolicy(hot));
    for (let n = 0; n < 100; n++) {
      const text = policyOf(n, 100);
      memory.set(text, parseKeyPolicy(text));
      expect(memory.get(text)).toBeDefined();
      expect(memory.get(hot)).toBeDefined();
      expect(memory.bytes).toBeLessThanOrEqual(limitBytes);
    }
    expect(memory.get(policyOf(0, 100))).toBeUndefined();
  });
});
