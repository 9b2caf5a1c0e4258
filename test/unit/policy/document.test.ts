// What a key policy must be to be taken, in the words of AWS where public sources have them, and what is taken without effect.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BridgeError } from '../../../src/kernel/errors.js';
import { parseKeyPolicy } from '../../../src/policy/document.js';
import { evaluateKeyPolicy } from '../../../src/policy/evaluate.js';
import { parseStrictJson } from '../../../src/policy/strict-json.js';

const account = '000000000000';
const keyArn = `arn:aws:kms:us-east-1:${account}:key/00000000-0000-4000-8000-000000000000`;
const whole = { Effect: 'Allow', Principal: { AWS: account }, Action: 'kms:*', Resource: '*' };
const withStatements = (...Statement: object[]): string => JSON.stringify({ Version: '2012-10-17', Statement });

function refusal(text: string): string {
  try {
    parseKeyPolicy(text);
    return 'accepted';
  } catch (error) {
    return error instanceof BridgeError ? `${error.code}: ${error.publicMessage ?? ''}` : String(error);
  }
}

const malformed = (text: string): string => `MalformedPolicyDocumentException: ${text}`;
const ambiguous = malformed(
  'The policy is not a JSON object, is nested too deeply, or names a member of an object twice.',
);

describe('a key policy', () => {
  it('is refused when an element cannot be evaluated', () => {
    const refused = [
      { Statement: [{ ...whole, Condition: {} }] },
      { Statement: [{ ...whole, NotAction: 'kms:Decrypt' }] },
      { Statement: [{ ...whole, Principal: { Service: 's3.amazonaws.com' } }] },
      { Statement: [{ ...whole, Principal: null }] },
      { Statement: [{ ...whole, Effect: 'allow' }] },
      { Statement: [{ ...whole, Sid: 1 }] },
      { Statement: [{ ...whole, action: 'kms:Decrypt' }] },
      { Statement: [] },
      { Statement: [whole], Extra: 1 },
      { Statement: [whole], Id: {} },
      { Statement: [whole], Version: '2020-01-01' },
    ];
    for (const document of refused) {
      const text = JSON.stringify({ Version: '2012-10-17', ...document });
      expect([document, refusal(text)]).toEqual([
        document,
        expect.stringMatching(/^MalformedPolicyDocumentException: /),
      ]);
    }
    expect(refusal(`{"Statement":"${'x'.repeat(32_768)}"}`)).toMatch(/^LimitExceededException: .*32 KB/);
  });

  it('has no member that JavaScript gives every object', () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      const grown = withStatements(whole).replace('"Effect"', `"${name}":{"Effect":"Allow"},"Effect"`);
      expect(refusal(grown)).toMatch(/^MalformedPolicyDocumentException: /);
      expect(refusal(withStatements({ ...whole, Principal: JSON.parse(`{"${name}":"*"}`) as object }))).toMatch(
        /^MalformedPolicyDocumentException: /,
      );
    }
    expect(refusal('{"__proto__":{"Version":"2012-10-17","Statement":[]}}')).toMatch(/^Malformed/);
  });

  it.each([undefined, {}, { AWS: [] }])('needs a principal in each statement: %j', (Principal) => {
    expect(refusal(withStatements(whole, { ...whole, Principal }))).toBe(
      malformed('Policy contains a statement with no principal.'),
    );
  });

  it.each([
    ['Decrypt', 'Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.'],
    ['', 'Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.'],
    ['**', 'Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.'],
    ['kms:Decrypt:x', 'Actions/Condition can contain only one colon.'],
    ['kms=x:Decrypt', 'Vendor kms=x is not valid'],
    // KELVIN SIGN, which folds to k.
    ['\u212Ams:Decrypt', 'Vendor \u212Ams is not valid'],
    ['kms:EnableKeyRotation\u212A', 'An action has a character that no action has.'],
  ])('names actions with their vendor: %j', (action, text) => {
    for (const Action of [action, ['kms:*', action]])
      expect(refusal(withStatements(whole, { ...whole, Action }))).toBe(malformed(text));
  });

  it.each(['*', 'kms:*', 'KMS:decrypt', 'kms:Re*', 's3:GetObject', '*:Decrypt'])('may name %s', (Action) => {
    expect(refusal(withStatements({ ...whole, Action }))).toBe('accepted');
  });

  it('has no Sid twice', () => {
    expect(refusal(withStatements({ ...whole, Sid: 'a' }, { ...whole, Sid: 'a' }))).toBe(
      malformed('Statement IDs (SID) in a single policy must be unique.'),
    );
    expect(refusal(withStatements({ ...whole, Sid: '' }, { ...whole, Sid: '' }, { ...whole, Sid: 'a' }))).toBe(
      'accepted',
    );
  });

  it.each(['Action', 'Resource'] as const)('may have a Deny without %s, which denies nothing, as at AWS', (member) => {
    const rest = Object.fromEntries(Object.entries({ ...whole, Effect: 'Deny' }).filter(([name]) => name !== member));
    for (const deny of [rest, { ...rest, [member]: [] }]) {
      const policy = parseKeyPolicy(withStatements(whole, deny));
      expect(evaluateKeyPolicy(policy, { accountId: account, action: 'kms:Decrypt', keyArn })).toBe('allow');
    }
  });
});

describe('JSON that two readers could understand differently is refused:', () => {
  const statement = '{"Effect":"Allow","Principal":"*","Resource":"*","Action":"kms:*"}';
  const policy = (text: string): string => `{"Version":"2012-10-17","Statement":${text}}`;

  it.each([
    ['a member of the document', `{"Version":"2012-10-17","Statement":[],"Statement":${statement}}`],
    ['a member of a statement', policy(statement.replace('}', ',"Action":"kms:Encrypt"}'))],
    ['the same value', policy(statement.replace('}', ',"Effect":"Allow"}'))],
    ['an escaped name', policy(statement.replace('}', ',"\\u0041ction":"kms:Encrypt"}'))],
    ['a surrogate pair', policy(statement.replace('}', ',"\u{1F511}":1,"\\ud83d\\udd11":2}'))],
    ['a principal', policy(statement.replace('"*"', '{"AWS":"*","AWS":"000000000000"}'))],
    ['__proto__', policy(statement.replace('}', ',"__proto__":1,"__proto__":2}'))],
    ['far away', policy(`[${statement},${statement.replace('"*"', '{"AWS":[{"x":[1]}],"AWS":"*"}')}]`)],
    ['deep nesting', policy('['.repeat(15_000) + ']'.repeat(15_000))],
    ['no JSON', policy(statement).slice(1)],
    ['an array', `[${policy(statement)}]`],
  ])('%s', (_what, text) => {
    expect(refusal(text)).toBe(ambiguous);
  });

  it('but not what only looks so', () => {
    for (const sid of ['"Effect":"Deny","Effect":', '\\u0022Effect', '{"a":1,"a":1}', '}{', '\\\\', '\\"']) {
      const text = policy(`[{"Sid":${JSON.stringify(sid)},${statement.slice(1)},${statement}]`);
      expect([sid, refusal(text)]).toEqual([sid, 'accepted']);
    }
  });

  it('as a reader finds that keeps every member', () => {
    // The oracle builds the text and knows what it wrote twice; JSON.stringify and escapes vary how the names are written.
    const name = fc.constantFrom('a', 'b', 'Action', 'Acti"on', 'a\\', ':', '{', '__proto__', 'é', '🔑');
    const written = fc.tuple(name, fc.boolean()).map(([plain, escaped]) => ({
      plain,
      text: escaped
        ? `"${[...Array(plain.length).keys()].map((i) => `\\u${plain.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`
        : JSON.stringify(plain),
    }));
    interface Node {
      readonly text: string;
      readonly twice: boolean;
    }
    const { value } = fc.letrec<{ value: Node }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 5, withCrossShrink: true },
        fc.json({ maxDepth: 0 }).map((text) => ({ text, twice: false })),
        fc.array(tie('value'), { maxLength: 4 }).map((items) => ({
          text: `[${items.map((item) => item.text).join(' , ')}]`,
          twice: items.some((item) => item.twice),
        })),
        fc.array(fc.tuple(written, tie('value')), { maxLength: 5 }).map((members) => ({
          text: `{${members.map(([key, item]) => `${key.text} : ${item.text}`).join(',')}}`,
          twice:
            members.some(([, item]) => item.twice) ||
            members.some(([key], i) => members.slice(0, i).some(([other]) => other.plain === key.plain)),
        })),
      ),
    }));
    fc.assert(
      fc.property(value, ({ text, twice }) => {
        expect(parseStrictJson(text)).toEqual(twice ? undefined : JSON.parse(text));
      }),
      { numRuns: 3000 },
    );
  });
});
