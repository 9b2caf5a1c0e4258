// What the audit will say of one call: filled in step by step, so that a call that fails anywhere leaves what was known by then.
// Only members an operation lists reach the log; a secret cannot be listed.
import type { Clock } from '../kernel/clock.js';
import type { BridgeError } from '../kernel/errors.js';
import type { Random } from '../kernel/random.js';
import {
  aliasResourceJson,
  auditRecord,
  keyResourceJson,
  madeKeyResourceJson,
  resourcesJson,
  type AuditRecordParts,
} from '../model/audit-record.js';
import { unknownIdentityJson, userIdentityJson } from '../model/user-identity.js';
import type { AnyOperation, Input } from '../operations/define.js';
import type { Caller } from '../ports/authenticator.js';
import type { Incoming } from './incoming.js';
import type { Resolved } from './resolve.js';

export interface CallStart {
  readonly requestId: string;
  readonly incoming: Incoming;
  readonly defaultRegion: string;
}

export class CallRecord {
  readonly #start: CallStart;
  readonly #clock: Clock;
  readonly #random: Random;
  #caller: Caller | undefined;
  #operation: AnyOperation | undefined;
  #input: Input | undefined;
  #resources: readonly Resolved[] = [];
  #authorized = false;

  constructor(start: CallStart, clock: Clock, random: Random) {
    this.#start = start;
    this.#clock = clock;
    this.#random = random;
  }

  caller(caller: Caller): Caller {
    return (this.#caller = caller);
  }

  operation(operation: AnyOperation): AnyOperation {
    return (this.#operation = operation);
  }

  input(input: Input): Input {
    return (this.#input = input);
  }

  resources(resources: readonly Resolved[]): readonly Resolved[] {
    return (this.#resources = resources);
  }

  authorized(): void {
    this.#authorized = true;
  }

  intent(): string {
    return auditRecord(this.#parts('null'));
  }

  success(result: object): string {
    const operation = this.#operation;
    const made = operation?.made?.(result);
    const resources =
      made === undefined ? this.#resourcesJson() : resourcesJson([madeKeyResourceJson(made.arn, made.accountId)]);
    const { response, additional } = operation?.print ?? {};
    return auditRecord(this.#parts(response?.(result) ?? 'null', resources, additional?.(result)));
  }

  failure(error: BridgeError): string {
    return auditRecord(this.#parts('null', this.#resourcesJson(), undefined, error));
  }

  /** One literal for all records: V8 reads objects of one shape faster, and each call has one. */
  #parts(
    responseElementsJson: string,
    resources = this.#resourcesJson(),
    additionalEventDataJson?: string,
    error?: BridgeError,
  ): AuditRecordParts {
    const { incoming, requestId, defaultRegion } = this.#start;
    const caller = this.#caller;
    const operation = this.#operation;
    return {
      eventTimeMs: this.#clock.now(),
      service: operation?.service ?? incoming.service,
      eventName: operation?.name ?? incoming.operationName ?? 'Unknown',
      awsRegion: caller?.region ?? defaultRegion,
      sourceIp: incoming.sourceIp,
      userAgent: incoming.userAgent,
      userIdentityJson:
        caller === undefined ? unknownIdentityJson(incoming.claimedKeyId()) : userIdentityJson(caller.principal),
      requestParametersJson: this.#input === undefined ? 'null' : (operation?.print.request?.(this.#input) ?? 'null'),
      responseElementsJson,
      additionalEventDataJson,
      errorCode: error?.code,
      errorMessage: error?.publicMessage,
      requestId,
      eventId: this.#random.uuid(),
      readOnly: operation?.effect !== 'change',
      resourcesJson: resources,
      recipientAccountId: caller?.principal.accountId,
    };
  }

  /** Another account's key is named once the caller may know of it: a record is as long as if there were none. */
  #resourcesJson(): string | undefined {
    if (this.#resources.length === 0) return undefined;
    if (this.#authorized) return resourcesOf(this.#resources);
    const accountId = this.#caller?.principal.accountId;
    return resourcesOf(this.#resources.filter(({ key }) => key === undefined || key.accountId === accountId));
  }
}

function resourcesOf(resources: readonly Resolved[]): string {
  const entries: string[] = [];
  for (const { key, ownerId, resource, arn } of resources) {
    if (key !== undefined) entries.push(keyResourceJson(key));
    else if (resource.kind === 'alias' && arn !== undefined && ownerId !== undefined)
      entries.push(aliasResourceJson(arn, ownerId));
  }
  return resourcesJson(entries);
}
