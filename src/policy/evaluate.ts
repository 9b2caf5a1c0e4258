// The decision: pure, no I/O. Root principals only; IAM policies, conditions and grants join here (AWS KMS Developer Guide,
// "Determining access to AWS KMS keys").
import type { KeyPolicy } from './document.js';

/** `explicitDeny`: a statement says no. `noAllow`: none says yes. */
export type Decision = 'allow' | 'explicitDeny' | 'noAllow';

export interface Question {
  /** The account whose root user asks. */
  readonly accountId: string;
  readonly action: string;
  readonly keyArn: string;
}

/**
 * What the key policy says of an account's root user. Naming the account or its root is direct for the root user; it delegates for
 * IAM principals. An explicit Deny wins over every Allow.
 */
export function evaluateKeyPolicy(policy: KeyPolicy, question: Question): Decision {
  let decision: Decision = 'noAllow';
  for (const statement of policy.statements) {
    const matches =
      (statement.principals === 'anyone' || statement.principals.has(question.accountId)) &&
      statement.matchesAction(question.action) &&
      statement.matchesKey(question.keyArn);
    if (!matches) continue;
    if (statement.effect === 'Deny') return 'explicitDeny';
    decision = 'allow';
  }
  return decision;
}
