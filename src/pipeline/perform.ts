// The straight line. Every request travels it, in this order, and leaves exactly one audit record, on disk before the answer leaves; only
// floods that were turned away before any work was done for them are counted instead.
import { BridgeError, errorCodes } from '../kernel/errors.js';
import type { AnyOperation, Services } from '../operations/define.js';
import type { AuditKind } from '../ports/audit.js';
import { authorize } from './authorize.js';
import { type AccountBudget, type Budgets, OverBudget } from './budgets.js';
import { CallRecord } from './call-record.js';
import type { Incoming } from './incoming.js';
import { checkKeys } from './key-state.js';
import { resolve } from './resolve.js';

export interface Line {
  readonly services: Services;
  readonly budgets: Budgets;
  readonly defaultRegion: string;
  /** Told of what is a fault of ours, for the operational log. The caller hears only that there was one. */
  readonly fault: (error: unknown) => void;
}

export type Outcome =
  /** `result`: what the operation's output shape and the record are written from. */
  | { readonly requestId: string; readonly operation: AnyOperation; readonly result: object }
  | { readonly requestId: string; readonly error: BridgeError };

export async function perform(line: Line, incoming: Incoming): Promise<Outcome> {
  const { services } = line;
  const { audit, clock, random } = services;
  const requestId = random.uuid();
  const nowMs = clock.now();
  const record = new CallRecord({ requestId, incoming, defaultRegion: line.defaultRegion }, clock, random);
  let budget: AccountBudget | undefined;
  try {
    const caller = record.caller(await incoming.authenticate());
    incoming.proved(caller);
    budget = line.budgets.enter(caller.principal.accountId, incoming.bodyBytes, nowMs);
    const operation = record.operation(incoming.operation(caller));
    const input = record.input(incoming.input(operation));
    operation.validate?.(input);
    const resources = record.resources(await resolve(services.store, caller, operation, input, line.fault));
    const { keys, aliases } = authorize(caller, operation, resources, input, line.fault);
    record.authorized();
    checkKeys(operation, resources);
    const { principal, region } = caller;
    const call = { principal, region, accountId: principal.accountId, requestId, nowMs, keys, aliases, services };
    operation.check?.(input, call);
    audit.requireWritable();
    if (input.DryRun === true) {
      await operation.rehearse?.(input, call);
      throw dryRun();
    }
    if (operation.effect === 'change') await append(line, budget, 'intent', record.intent());
    const result = await operation.run(input, call);
    await append(line, budget, 'event', record.success(result));
    return { requestId, operation, result };
  } catch (thrown) {
    const error = asBridgeError(line, thrown);
    return { requestId, error: await recordFailure(line, budget, record, incoming.sourceIp, error) };
  } finally {
    budget?.leave();
  }
}

/** The account pays for what its record takes in the log. */
function append(line: Line, budget: AccountBudget, kind: AuditKind, text: string): Promise<void> {
  budget.spendAudit(Buffer.byteLength(text));
  return line.services.audit.append(kind, text);
}

/** The failure the caller hears: the one that happened, unless it cannot be recorded. */
async function recordFailure(
  line: Line,
  budget: AccountBudget | undefined,
  record: CallRecord,
  sourceIp: string,
  error: BridgeError,
): Promise<BridgeError> {
  const { audit } = line.services;
  try {
    if (budget !== undefined) await append(line, budget, 'event', record.failure(error));
    else if (error instanceof OverBudget)
      await audit.appendThrottled(error.accountId, sourceIp, error.budget, record.failure(error));
    else await audit.appendUnauthenticated(sourceIp, error.code, record.failure(error));
    return error;
  } catch (thrown) {
    return asBridgeError(line, thrown);
  }
}

function dryRun(): BridgeError {
  return new BridgeError('DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.');
}

/** Anything that is not an answer is a fault of ours: the caller hears that, and no more. What is ours to mend is told with its cause. */
export function asBridgeError(line: Pick<Line, 'fault'>, thrown: unknown): BridgeError {
  const isAnswer = thrown instanceof BridgeError;
  if (!isAnswer || errorCodes[thrown.code] === 'service') line.fault(thrown);
  if (isAnswer) return thrown;
  return new BridgeError('KMSInternalException', 'The request was rejected because of an internal error.');
}
