// Key policies as text and as what the evaluator runs on. A policy is taken only when every element of it can be evaluated: what is
// not understood is refused when it is written, never ignored when it is asked.
import { BridgeError } from '../kernel/errors.js';
import { rootArn } from '../kernel/arn.js';
import { quotas } from '../model/quotas.js';
import { parseStrictJson } from './strict-json.js';

export interface Statement {
  readonly effect: 'Allow' | 'Deny';
  /** Account ids whose root (or who as accounts) are named; 'anyone' for "*". */
  readonly principals: 'anyone' | ReadonlySet<string>;
  readonly matchesAction: (action: string) => boolean;
  /** False for a statement without Resource, or whose Resource is not this key: accepted by AWS, and without effect. */
  readonly matchesKey: (keyArn: string) => boolean;
}

export interface KeyPolicy {
  readonly statements: readonly Statement[];
  /** What it holds in memory, at most. */
  readonly bytes: number;
}

const statementMembers = new Set(['Sid', 'Effect', 'Principal', 'Action', 'Resource']);
const principalMembers = new Set(['AWS']);
const documentMembers = new Set(['Version', 'Id', 'Statement']);

/** The policy AWS KMS gives a key created by the API without one: the account's root, delegating to IAM. */
export function defaultKeyPolicy(accountId: string): string {
  const statement = {
    Sid: 'Enable IAM User Permissions',
    Effect: 'Allow',
    Principal: { AWS: rootArn(accountId) },
    Action: 'kms:*',
    Resource: '*',
  };
  return JSON.stringify({ Version: '2012-10-17', Id: 'key-default-1', Statement: [statement] }, undefined, 2);
}

/** Compiles a policy's text. Errors: LimitExceeded (size), MalformedPolicyDocument (anything else). */
export function parseKeyPolicy(text: string): KeyPolicy {
  if (Buffer.byteLength(text) > quotas.keyPolicyDocumentSizeBytes)
    throw new BridgeError('LimitExceededException', 'The key policy is larger than 32 KB.');
  const document = asObject(
    parseStrictJson(text),
    'The policy is not a JSON object, is nested too deeply, or names a member of an object twice.',
  );
  onlyMembers(document, documentMembers);
  optionalText(document['Id'], 'Id');
  if (document['Version'] !== '2012-10-17' && document['Version'] !== '2008-10-17')
    throw malformed('Policy Version is not valid.');
  const statements = arrayOf(document['Statement']);
  if (statements.length === 0) throw malformed('Policy contains no statement.');
  const objects = statements.map((statement) => asObject(statement, 'A statement is not a JSON object.'));
  requireDistinctSids(objects);
  return {
    statements: objects.map(compile),
    bytes: textShare * text.length + statementBytes * objects.length,
  };
}

/** IAM's words; KMS's own guide to this error names duplicate Sids as a cause. An empty one names nothing. */
function requireDistinctSids(statements: readonly Readonly<Record<string, unknown>>[]): void {
  const sids = statements.map((statement) => optionalText(statement['Sid'], 'Sid')).filter(Boolean);
  if (new Set(sids).size < sids.length) throw malformed('Statement IDs (SID) in a single policy must be unique.');
}

/** Measured: 0.5 KB for the objects of a statement, and twice 2 KB for what its patterns were asked. */
const statementBytes = 5_000;
/** A list of names of one or two characters takes the most. */
const textShare = 5;

function compile(statement: Readonly<Record<string, unknown>>): Statement {
  onlyMembers(statement, statementMembers);
  const effect = statement['Effect'];
  if (effect !== 'Allow' && effect !== 'Deny') throw malformed('A statement has no valid Effect.');
  return {
    effect,
    principals: principals(statement['Principal']),
    matchesAction: anyOf(actions(statement['Action']), { ignoreCase: true }),
    matchesKey: anyOf(strings(statement['Resource'], 'Resource'), { ignoreCase: false }),
  };
}

/** IAM's rules and words for actions; `*` alone means all. Only ASCII, since there are letters (K) that fold to others. */
function actions(value: unknown): string[] {
  const patterns = strings(value, 'Action');
  for (const pattern of patterns) {
    const [vendor = '', name, ...more] = pattern.split(':');
    if (pattern === '*') continue;
    if (name === undefined)
      throw malformed('Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.');
    if (more.length > 0) throw malformed('Actions/Condition can contain only one colon.');
    if (vendor !== '*' && !/^[a-zA-Z0-9.-]+$/.test(vendor)) throw malformed(`Vendor ${vendor} is not valid`);
    if (!/^[\x20-\x7e]*$/.test(name)) throw malformed('An action has a character that no action has.');
  }
  return patterns;
}

const invalidPrincipal = 'Policy contains a statement with one or more invalid principals.';

function principals(value: unknown): 'anyone' | ReadonlySet<string> {
  if (value === '*') return 'anyone';
  const members = value === undefined ? {} : asObject(value, invalidPrincipal);
  onlyMembers(members, principalMembers);
  const named = strings(members['AWS'], 'Principal');
  if (named.length === 0) throw malformed('Policy contains a statement with no principal.');
  if (named.includes('*')) return 'anyone';
  return new Set(named.map(accountOf));
}

function accountOf(principal: string): string {
  const match = /^(?:arn:aws:iam::(\d{12}):root|(\d{12}))$/.exec(principal);
  const account = match?.[1] ?? match?.[2];
  if (account === undefined) throw malformed(invalidPrincipal);
  return account;
}

/** What one list of patterns was asked lately; a policy is asked the same few actions, and about one key, again and again. */
const maxRemembered = 64;

/** IAM wildcards: `*` any characters, `?` one. Actions are matched without regard to case. */
function anyOf(patterns: readonly string[], { ignoreCase }: { ignoreCase: boolean }): (value: string) => boolean {
  const fold = (text: string): string => (ignoreCase ? text.toLowerCase() : text);
  const distinct = [...new Set(patterns.map(fold))];
  if (distinct.includes('*')) return () => true;
  if (distinct.length === 0) return () => false;
  let answers: Map<string, boolean> | undefined;
  return (value) => {
    answers ??= new Map<string, boolean>();
    const known = answers.get(value);
    if (known !== undefined) return known;
    const folded = fold(value);
    const answer = distinct.some((pattern) => matches(pattern, folded));
    if (answers.size >= maxRemembered) answers.clear();
    answers.set(value, answer);
    return answer;
  };
}

/** At most pattern × value steps, whatever the pattern: its author is one tenant, and the time it takes is everybody's. */
function matches(pattern: string, value: string): boolean {
  let p = 0;
  let v = 0;
  let afterStar = -1;
  let taken = 0;
  while (v < value.length) {
    if (pattern[p] === '*') {
      afterStar = p += 1;
      taken = v;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === value[v])) {
      p += 1;
      v += 1;
    } else if (afterStar >= 0) {
      // The last star takes one character more; earlier ones never need to be tried again.
      p = afterStar;
      v = taken += 1;
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}

function strings(value: unknown, member: string): string[] {
  const items = arrayOf(value);
  for (const item of items) {
    if (typeof item !== 'string') throw malformed(`${member} is not a string or a list of strings.`);
  }
  return items as string[];
}

function arrayOf(value: unknown): unknown[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}

function asObject(value: unknown, message: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(message);
  return value as Record<string, unknown>;
}

function onlyMembers(object: Readonly<Record<string, unknown>>, allowed: ReadonlySet<string>): void {
  for (const name of Object.keys(object)) {
    if (!allowed.has(name)) throw malformed('The policy has an element that this version does not evaluate.');
  }
}

function optionalText(value: unknown, member: string): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  throw malformed(`${member} is not a string.`);
}

function malformed(message: string): BridgeError {
  return new BridgeError('MalformedPolicyDocumentException', message);
}
