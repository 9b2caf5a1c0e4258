// What the audit will say of one call: filled in step by step, so that a call that fails anywhere leaves what was known by then.
// Only members an operation lists reach the log; secrets and plaintexts are in none of the lists.
import type { Clock } from '../kernel/clock.js';
import type { BridgeError } from '../kernel/errors.js';
import type { Random } from '../kernel/random.js';
import {
  aliasResourceJson,
  auditRecord,
  keyResourceJson,
  resourcesJson,
  rootIdentityJson,
  unknownIdentityJson,
  type AuditRecordParts,
} from '../model/audit-record.js';
import type { AnyOperation, Input } from '../operations/define.js';
import { lowerFirst } from '../operations/shapes.js';
import type { Caller } from '../ports/authenticator.js';
import type { Incoming } from './incoming.js';
import type { Resolved } from './resolve.js';

export interface TrailStart {
  readonly requestId: string;
  readonly incoming: Incoming;
  readonly defaultRegion: string;
}

interface FieldNames {
  readonly request: readonly (readonly [member: string, printed: string])[];
  readonly additional: readonly (readonly [member: string, printed: string])[];
}

const fieldNames = new WeakMap<AnyOperation, FieldNames>();

export class Trail {
  readonly #start: TrailStart;
  readonly #clock: Clock;
  readonly #random: Random;
  #caller: Caller | undefined;
  #operation: AnyOperation | undefined;
  #input: Input | undefined;
  #resources: readonly Resolved[] = [];
  #authorized = false;

  constructor(start: TrailStart, clock: Clock, random: Random) {
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

  success(output: object | undefined): string {
    const operation = this.#operation;
    const response = operation?.audited.response?.(output);
    const responseJson = response === undefined ? 'null' : JSON.stringify(lowerMembers(response));
    const made = operation?.audited.made?.(output);
    const additional = operation === undefined || output === undefined ? [] : namesOf(operation).additional;
    const additionalJson = additional.length === 0 ? undefined : JSON.stringify(pick(output ?? {}, additional));
    const resources = made === undefined ? this.#resourcesJson() : resourcesJson([keyResourceJson(made)]);
    return auditRecord(this.#parts(responseJson, resources, additionalJson));
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
        caller === undefined ? unknownIdentityJson(incoming.claimedKeyId()) : rootIdentityJson(caller.principal),
      requestParametersJson:
        operation === undefined || this.#input === undefined ? 'null' : requestJson(operation, this.#input),
      responseElementsJson,
      additionalEventDataJson,
      errorCode: error?.code,
      errorMessage: error?.publicMessage,
      requestId,
      eventId: this.#random.uuid(),
      readOnly: operation?.readOnly ?? true,
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

function namesOf(operation: AnyOperation): FieldNames {
  let names = fieldNames.get(operation);
  if (names === undefined) {
    const pairs = (members: readonly string[] = []) => members.map((member) => [member, lowerFirst(member)] as const);
    names = { request: pairs(operation.audited.request), additional: pairs(operation.audited.additional) };
    fieldNames.set(operation, names);
  }
  return names;
}

function requestJson(operation: AnyOperation, input: Input): string {
  const names = namesOf(operation).request;
  return names.length === 0 ? 'null' : JSON.stringify(pick(input, names));
}

/**
 * Members with a value; false and empty maps are left out, as CloudTrail leaves out what the caller did not send. The names in a map are
 * the caller's own and stay as they are.
 */
function pick(source: object, names: FieldNames['request']): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  for (const [member, printed] of names) {
    const value = (source as Record<string, unknown>)[member];
    if (value !== undefined && value !== false && !isEmpty(value))
      picked[printed] = Array.isArray(value) ? lowerMembers(value) : value;
  }
  return picked;
}

function isEmpty(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  for (const _ in value) return false;
  return true;
}

/** CloudTrail prints members in lower camel case at every depth. */
function lowerMembers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowerMembers);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [lowerFirst(name), lowerMembers(member)]));
}

function resourcesOf(resources: readonly Resolved[]): string {
  const entries: string[] = [];
  for (const { key, ownerId, target, arn } of resources) {
    if (key !== undefined) entries.push(keyResourceJson(key));
    else if (target.kind === 'alias' && arn !== undefined && ownerId !== undefined)
      entries.push(aliasResourceJson(arn, ownerId));
  }
  return resourcesJson(entries);
}
