// The compiled evaluator against a slow, naive model of the same rules, on random policies.
import { Session } from 'node:inspector/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultKeyPolicy, parseKeyPolicy } from '../../../src/policy/document.js';
import { evaluateKeyPolicy } from '../../../src/policy/evaluate.js';

const accounts = ['000000000000', '111122223333', '222233334444'];
const keyArn = 'arn:aws:kms:us-east-1:000000000000:key/00000000-0000-4000-8000-000000000000';

interface Written {
  Effect: 'Allow' | 'Deny';
  Principal: '*' | { AWS: string | string[] };
  Action?: string | string[];
  Resource?: string;
}

const principal = fc.constantFrom('*', ...accounts, ...accounts.map((account) => `arn:aws:iam::${account}:root`));
const action = fc.constantFrom(
  'kms:*',
  '*',
  'kms:Encrypt',
  'KMS:encrypt',
  'kms:Decrypt',
  'kms:Re*',
  'kms:?ncrypt',
  'kms:*crypt',
  'kms:',
);
const statement: fc.Arbitrary<Written> = fc.record(
  {
    Effect: fc.constantFrom('Allow' as const, 'Deny' as const),
    Principal: fc.oneof(
      fc.constant('*' as const),
      fc.oneof(principal, fc.array(principal, { minLength: 1, maxLength: 3 })).map((AWS) => ({ AWS })),
    ),
    Action: fc.oneof(action, fc.array(action, { maxLength: 3 })),
    Resource: fc.constantFrom('*', keyArn, `${keyArn}x`, 'arn:aws:kms:*:000000000000:key/*'),
  },
  { requiredKeys: ['Effect', 'Principal'] },
);

/** One character at a time, as the IAM documentation describes `*` and `?`. */
function glob(pattern: string, value: string): boolean {
  if (pattern === '') return value === '';
  if (pattern[0] === '*') return glob(pattern.slice(1), value) || (value !== '' && glob(pattern, value.slice(1)));
  return value !== '' && (pattern[0] === '?' || pattern[0] === value[0]) && glob(pattern.slice(1), value.slice(1));
}

const listOf = (value: string | string[] | undefined): string[] => (value === undefined ? [] : [value].flat());

/** How often the block of a source file ran that ran most while `work` did. */
async function busiest(file: string, work: () => void): Promise<number> {
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    work();
    const { result } = await session.post('Profiler.takePreciseCoverage');
    const functions = result.filter(({ url }) => url.endsWith(file)).flatMap((script) => script.functions);
    return Math.max(0, ...functions.flatMap(({ ranges }) => ranges.map(({ count }) => count)));
  } finally {
    session.disconnect();
  }
}

function naive(statements: Written[], accountId: string, asked: string): string {
  const matching = statements.filter(
    (written) =>
      (written.Principal === '*' ||
        listOf(written.Principal.AWS).some(
          (named) => named === '*' || named === accountId || named === `arn:aws:iam::${accountId}:root`,
        )) &&
      listOf(written.Action).some((pattern) => glob(pattern.toLowerCase(), asked.toLowerCase())) &&
      listOf(written.Resource).some((pattern) => glob(pattern, keyArn)),
  );
  if (matching.some((written) => written.Effect === 'Deny')) return 'explicitDeny';
  return matching.length > 0 ? 'allow' : 'noAllow';
}

describe('key policies', () => {
  it('decide as a naive model does', () => {
    fc.assert(
      fc.property(
        fc.array(statement, { minLength: 1, maxLength: 5 }),
        fc.constantFrom(...accounts),
        fc.constantFrom('kms:Encrypt', 'kms:Decrypt', 'kms:ReEncryptTo', 'kms:PutKeyPolicy'),
        (statements, accountId, asked) => {
          const policy = parseKeyPolicy(JSON.stringify({ Version: '2012-10-17', Statement: statements }));
          expect(evaluateKeyPolicy(policy, { accountId, action: asked, keyArn })).toBe(
            naive(statements, accountId, asked),
          );
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('match wildcards as a naive model does', () => {
    const piece = fc.constantFrom('*', '*', '?', 'a', 'b');
    const text = fc.array(fc.constantFrom('a', 'b'), { maxLength: 8 }).map((letters) => letters.join(''));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 7 }), text, (pieces, asked) => {
        const pattern = `kms:${pieces.join('')}`;
        const Statement = { Effect: 'Allow', Principal: '*', Action: pattern, Resource: '*' };
        const policy = parseKeyPolicy(JSON.stringify({ Version: '2012-10-17', Statement }));
        const expected = glob(pattern, `kms:${asked}`) ? 'allow' : 'noAllow';
        expect(evaluateKeyPolicy(policy, { accountId: accounts[0]!, action: `kms:${asked}`, keyArn })).toBe(expected);
      }),
      { numRuns: 5000 },
    );
  });

  it.each([
    ['a star before each character', '*?*?*?*?!', '*'],
    ['the same, with many characters that fit', `${'*0'.repeat(20)}!`, '*'],
    ['a row of stars', '*', `kms:${'*'.repeat(3000)}`],
  ])('take no more steps than pattern × value: %s', async (_, Resource, Action) => {
    const deny = { Effect: 'Deny', Principal: '*', Action: 'kms:*', Resource: '*!' };
    const allow = { Effect: 'Allow', Principal: '*', Action, Resource: [Resource, keyArn] };
    const policy = parseKeyPolicy(JSON.stringify({ Version: '2012-10-17', Statement: [deny, allow] }));
    const question = { accountId: accounts[0]!, action: 'kms:Encrypt', keyArn };
    let decision: string | undefined;
    // A backtracking matcher takes a million steps for the first.
    const steps = await busiest('src/policy/document.ts', () => (decision = evaluateKeyPolicy(policy, question)));
    expect(decision).toBe('allow');
    expect(steps).toBeGreaterThan(0);
    expect(steps).toBeLessThanOrEqual((Resource.length + 1) * keyArn.length + (Action.length + 1) * 12);
  });

  it('by default let the account do everything and nobody else anything', () => {
    const policy = parseKeyPolicy(defaultKeyPolicy(accounts[0]!));
    expect(evaluateKeyPolicy(policy, { accountId: accounts[0]!, action: 'kms:Decrypt', keyArn })).toBe('allow');
    expect(evaluateKeyPolicy(policy, { accountId: accounts[1]!, action: 'kms:Decrypt', keyArn })).toBe('noAllow');
  });
});
