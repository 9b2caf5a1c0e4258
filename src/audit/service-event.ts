// The records the log writes about itself: CloudTrail's AwsServiceEvent, without a request.
import type { Clock } from '../kernel/clock.js';
import type { Random } from '../kernel/random.js';
import { auditRecord } from '../model/audit-record.js';

export type ServiceEventName =
  'AuditSuspended' | 'AuditResumed' | 'AuditRecordsRefused' | 'UnauthenticatedRequests' | 'ThrottledRequests';

/** `details` becomes `serviceEventDetails`; the event's time is now. */
export type ServiceEvent = (eventName: ServiceEventName, details: Readonly<Record<string, unknown>>) => string;

export function serviceEvents(clock: Clock, random: Random, awsRegion: string): ServiceEvent {
  return (eventName, details) =>
    auditRecord({
      eventTimeMs: clock.now(),
      service: 'kms',
      eventName,
      awsRegion,
      sourceIp: 'hsm-bridge',
      userAgent: 'hsm-bridge',
      userIdentityJson: '{"type":"AWSService","invokedBy":"hsm-bridge"}',
      requestParametersJson: 'null',
      responseElementsJson: 'null',
      serviceEventDetailsJson: JSON.stringify(details),
      requestId: random.uuid(),
      eventId: random.uuid(),
      readOnly: true,
      eventType: 'AwsServiceEvent',
    });
}

/** RFC 3339, UTC, milliseconds. */
export const timestamp = (ms: number): string => new Date(ms).toISOString();
