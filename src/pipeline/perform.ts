// The straight line. Every request travels it, in this order, and leaves exactly one audit record, on disk before the answer leaves; only
// floods that were turned away before any work was done for them are counted instead.
import { BridgeError } from '../kernel/errors.js';
import type { AnyOperation, Services } from '../operations/define.js';
import { readInput } from '../operations/shapes.js';
import type { AuditKind } from '../ports/audit.js';
import type { RequestHead } from '../model/request.js';
import type { Authenticator, Caller, Claim } from '../ports/authenticator.js';
import { authorize } from './authorize.js';
import { type AccountBudget, type Budgets, OverBudget } from './budgets.js';
import { checkKeyState } from './key-state.js';
import { resolve } from './resolve.js';
import { Trail } from './trail.js';

/** What a façade hands in. The functions read what the caller sent, and throw when it cannot be read. */
export interface Incoming {
  readonly request: RequestHead;
  readonly body: Buffer;
  /** What the headers claim, or why the façade could not take the request in (no good claim, too large, too many). */
  readonly claim: Claim | BridgeError;
  /** Told when the signature was good. */
  readonly connection: { prove(): void } | undefined;
  readonly sourceIp: string;
  readonly userAgent: string;
  /** As it may stand in the audit: bounded and of harmless characters. */
  readonly operationName: string | undefined;
  readonly operation: (caller: Caller) => AnyOperation;
  readonly json: () => unknown;
  /** The same JSON with each number as the text it was written in. */
  readonly numbersAsText: () => unknown;
}

export interface Line {
  readonly services: Services;
  readonly authenticator: Authenticator;
  readonly budgets: Budgets;
  readonly defaultRegion: string;
  /** Told of what is a fault of ours, for the operational log. The caller hears only that there was one. */
  readonly fault: (error: unknown) => void;
}

export type Outcome =
  | { readonly requestId: string; readonly output: object | undefined }
  | { readonly requestId: string; readonly error: BridgeError };

export async function perform(line: Line, incoming: Incoming): Promise<Outcome> {
  const { services } = line;
  const { audit, clock, random } = services;
  const requestId = random.uuid();
  const nowMs = clock.now();
  const { request, sourceIp, userAgent, operationName } = incoming;
  const { defaultRegion } = line;
  const trail = new Trail({ requestId, request, sourceIp, userAgent, operationName, defaultRegion }, clock, random);
  let budget: AccountBudget | undefined;
  try {
    if (incoming.claim instanceof BridgeError) throw incoming.claim;
    const caller = trail.caller(await incoming.claim.authenticate(incoming.body));
    incoming.connection?.prove();
    budget = line.budgets.enter(caller.principal.accountId, incoming.body.length, nowMs);
    const operation = trail.operation(incoming.operation(caller));
    const input = trail.input(readInput(operation.input, incoming.json(), incoming.numbersAsText));
    const resources = trail.resources(await resolve(services.store, caller, operation, input, line.fault));
    const keys = authorize(caller, operation, resources, input, line.fault);
    trail.authorized();
    checkKeyState(operation.state, resources);
    const { principal, region } = caller;
    const alias = resources.find((resource) => resource.alias !== undefined)?.alias;
    const call = { principal, region, accountId: principal.accountId, requestId, nowMs, keys, alias, services };
    operation.check?.(input, call);
    audit.requireWritable();
    if (input.DryRun === true) {
      await operation.rehearse?.(input, call);
      throw dryRun();
    }
    if (operation.mutates) await append(line, budget, 'intent', trail.intent());
    const output = await operation.run(input, call);
    await append(line, budget, 'event', trail.success(output));
    return { requestId, output: operation.answer === undefined ? output : operation.answer(output) };
  } catch (thrown) {
    const error = asBridgeError(line, thrown);
    return { requestId, error: await recordFailure(line, budget, trail, sourceIp, error) };
  } finally {
    budget?.leave();
  }
}

/** The account pays for what its record takes in the log. */
function append(line: Line, budget: AccountBudget, kind: AuditKind, record: string): Promise<void> {
  budget.spendAudit(Buffer.byteLength(record));
  return line.services.audit.append(kind, record);
}

/** The failure the caller hears: the one that happened, unless it cannot be recorded. */
async function recordFailure(
  line: Line,
  budget: AccountBudget | undefined,
  trail: Trail,
  sourceIp: string,
  error: BridgeError,
): Promise<BridgeError> {
  const { audit } = line.services;
  try {
    if (budget !== undefined) await append(line, budget, 'event', trail.failure(error));
    else if (error instanceof OverBudget)
      await audit.appendThrottled(error.accountId, sourceIp, error.budget, trail.failure(error));
    else await audit.appendUnauthenticated(sourceIp, error.code, trail.failure(error));
    return error;
  } catch (thrown) {
    return asBridgeError(line, thrown);
  }
}

function dryRun(): BridgeError {
  return new BridgeError('DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.');
}

/** Anything that is not an answer is a fault of ours: the caller hears that, and no more. */
export function asBridgeError(line: Pick<Line, 'fault'>, thrown: unknown): BridgeError {
  if (thrown instanceof BridgeError) return thrown;
  line.fault(thrown);
  return new BridgeError('KMSInternalException', 'The request was rejected because of an internal error.');
}
