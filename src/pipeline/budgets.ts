// What each account may take of one gateway: calls a second, calls at once, bytes of audit log a second. Asked once its signature was good
// and before anything of the call's content is looked at; an account that is over its budget is told so at no more cost than saying it.
import { BridgeError } from '../kernel/errors.js';

export interface Limits {
  readonly requestsPerSecond: number;
  readonly auditBytesPerSecond: number;
  readonly requestsInFlight: number;
}

export type BudgetName = 'requestRate' | 'requestsInFlight' | 'auditBytes';

/** AWS's answer to more calls than an account may make. */
export class OverBudget extends BridgeError {
  readonly accountId: string;
  readonly budget: BudgetName;

  constructor(accountId: string, budget: BudgetName) {
    super('ThrottlingException', 'Rate exceeded');
    this.accountId = accountId;
    this.budget = budget;
  }
}

/** A body up to here is that of a usual call. */
const freeBytes = 8192;
/** Beyond, it counts for a call more for each of these, and so for more than the time it takes: meanwhile the loop serves nobody else. */
const bytesOfOneCall = 1024;
/** A bucket holds what comes into it in this time. */
const burstMs = 1000;

/** All budgets of one gateway. Memory: an entry for each account that was ever authenticated; those are as many as are configured. */
export class Budgets {
  readonly #limits: Limits;
  readonly #onThrottled: (budget: BudgetName) => void;
  readonly #accounts = new Map<string, AccountBudget>();

  constructor(limits: Limits, onThrottled: (budget: BudgetName) => void) {
    this.#limits = limits;
    this.#onThrottled = onThrottled;
  }

  /** Takes a call in, whose `leave` must follow. OverBudget when the account has used up what it has. */
  enter(accountId: string, bodyBytes: number, nowMs: number): AccountBudget {
    let account = this.#accounts.get(accountId);
    if (account === undefined) {
      account = new AccountBudget(this.#limits, nowMs);
      this.#accounts.set(accountId, account);
    }
    const exhausted = account.enter(bodyBytes, nowMs);
    if (exhausted === undefined) return account;
    this.#onThrottled(exhausted);
    throw new OverBudget(accountId, exhausted);
  }
}

export class AccountBudget {
  readonly #limits: Limits;
  /** What is left; below zero after a call that cost more than there was, so that a large one is dear and not impossible. */
  #calls: number;
  #auditBytes: number;
  #inFlight = 0;
  #filledAtMs: number;

  constructor(limits: Limits, nowMs: number) {
    this.#limits = limits;
    this.#calls = limits.requestsPerSecond;
    this.#auditBytes = limits.auditBytesPerSecond;
    this.#filledAtMs = nowMs;
  }

  enter(bodyBytes: number, nowMs: number): BudgetName | undefined {
    if (nowMs !== this.#filledAtMs) this.#fill(nowMs);
    if (this.#inFlight >= this.#limits.requestsInFlight) return 'requestsInFlight';
    if (this.#calls <= 0) return 'requestRate';
    if (this.#auditBytes <= 0) return 'auditBytes';
    this.#inFlight += 1;
    this.#calls -= bodyBytes <= freeBytes ? 1 : 1 + Math.ceil((bodyBytes - freeBytes) / bytesOfOneCall);
    return undefined;
  }

  /** What the account's records took in the log, also when that is more than was left. */
  spendAudit(bytes: number): void {
    this.#auditBytes -= bytes;
  }

  leave(): void {
    this.#inFlight -= 1;
  }

  #fill(nowMs: number): void {
    const { requestsPerSecond, auditBytesPerSecond } = this.#limits;
    // A clock that was set back gives nothing, and takes nothing.
    const share = Math.min(burstMs, Math.max(0, nowMs - this.#filledAtMs)) / burstMs;
    this.#filledAtMs = nowMs;
    this.#calls = Math.min(requestsPerSecond, this.#calls + share * requestsPerSecond);
    this.#auditBytes = Math.min(auditBytesPerSecond, this.#auditBytes + share * auditBytesPerSecond);
  }
}
