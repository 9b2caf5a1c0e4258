// The records the log writes about itself: CloudTrail's AwsServiceEvent, without a request.
import type { Clock } from '../kernel/clock.js';
import type { Random } from '../kernel/random.js';
import { serviceEventRecord } from '../model/service-event-record.js';

export type ServiceEventName =
  'AuditSuspended' | 'AuditResumed' | 'AuditRecordsRefused' | 'UnauthenticatedRequests' | 'ThrottledRequests';

/** `details` becomes `serviceEventDetails`; the event's time is now. */
export type ServiceEvent = (eventName: ServiceEventName, details: Readonly<Record<string, unknown>>) => string;

export function serviceEvents(clock: Clock, random: Random, awsRegion: string): ServiceEvent {
  return (eventName, details) =>
    serviceEventRecord({
      eventTimeMs: clock.now(),
      eventName,
      awsRegion,
      requestId: random.uuid(),
      eventId: random.uuid(),
      isChange: false,
      details,
    });
}

/** RFC 3339, UTC, milliseconds. */
export const timestamp = (ms: number): string => new Date(ms).toISOString();
