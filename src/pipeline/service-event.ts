// What the daemon does of itself, without a caller (a deletion that is due, an automatic rotation, a first access key …): audited as
// CloudTrail's AwsServiceEvent, changes with an intent first.
import { BridgeError } from '../kernel/errors.js';
import { auditRecord, keyResourceJson, resourcesJson, type AuditRecordParts } from '../model/audit-record.js';
import type { Key } from '../model/key.js';
import { daemonIdentityJson } from '../model/user-identity.js';
import type { Services } from '../operations/define.js';

export interface Occurrence {
  readonly eventName: string;
  readonly region: string;
  /** Whose resource it is about. */
  readonly accountId?: string;
  readonly resourcesJson?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export const ofKey = (eventName: string, key: Key): Occurrence => ({
  eventName,
  region: key.region,
  accountId: key.accountId,
  resourcesJson: resourcesJson([keyResourceJson(key)]),
});

/** Runs a change between its intent and its event. Throws what the change throws, after that is recorded. */
export async function audited<T>(services: Services, occurrence: Occurrence, change: () => Promise<T>): Promise<T> {
  const { audit, random } = services;
  const requestId = random.uuid();
  audit.requireWritable();
  await audit.append('intent', record(services, occurrence, requestId));
  try {
    const result = await change();
    await audit.append('event', record(services, occurrence, requestId));
    return result;
  } catch (error) {
    const errorCode = error instanceof BridgeError ? error.code : 'KMSInternalException';
    await audit.append('event', record(services, occurrence, requestId, errorCode));
    throw error;
  }
}

/** Records what was noticed, and changed nothing. */
export const noticed = (services: Services, occurrence: Occurrence): Promise<void> =>
  services.audit.append('event', record(services, occurrence, services.random.uuid()));

function record(services: Services, occurrence: Occurrence, requestId: string, errorCode?: string): string {
  const { clock, random } = services;
  const { eventName, region, accountId, resourcesJson, details } = occurrence;
  const parts: AuditRecordParts = {
    eventTimeMs: clock.now(),
    service: 'kms',
    eventName,
    awsRegion: region,
    sourceIp: 'hsm-bridge',
    userAgent: 'hsm-bridge',
    userIdentityJson: daemonIdentityJson(accountId),
    requestParametersJson: 'null',
    responseElementsJson: 'null',
    errorCode,
    requestId,
    eventId: random.uuid(),
    readOnly: false,
    resourcesJson,
    serviceEventDetailsJson: details === undefined ? undefined : JSON.stringify(details),
    eventType: 'AwsServiceEvent',
    recipientAccountId: accountId,
  };
  return auditRecord(parts);
}
