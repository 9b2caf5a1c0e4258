// The record of what the daemon does or notices of itself, without a caller: CloudTrail's AwsServiceEvent. `userIdentity` is the daemon's, and
// `readOnly` is false for changes alone.
import { auditRecord } from './audit-record.js';
import { daemonIdentityJson } from './user-identity.js';

export interface ServiceEventParts {
  readonly eventTimeMs: number;
  readonly eventName: string;
  readonly awsRegion: string;
  readonly requestId: string;
  readonly eventId: string;
  /** Changes a key or an account. */
  readonly isChange: boolean;
  /** Whose resource it is about. */
  readonly accountId?: string | undefined;
  readonly errorCode?: string | undefined;
  readonly resourcesJson?: string | undefined;
  /** `serviceEventDetails` */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

export function serviceEventRecord(parts: ServiceEventParts): string {
  const { eventTimeMs, eventName, awsRegion, requestId, eventId, accountId, errorCode, resourcesJson, details } = parts;
  return auditRecord({
    eventTimeMs,
    service: 'kms',
    eventName,
    awsRegion,
    sourceIp: 'hsm-bridge',
    userAgent: 'hsm-bridge',
    userIdentityJson: daemonIdentityJson(accountId),
    requestParametersJson: 'null',
    responseElementsJson: 'null',
    errorCode,
    requestId,
    eventId,
    readOnly: !parts.isChange,
    resourcesJson,
    serviceEventDetailsJson: details === undefined ? undefined : JSON.stringify(details),
    eventType: 'AwsServiceEvent',
    recipientAccountId: accountId,
  });
}
