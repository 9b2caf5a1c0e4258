// Records without a caller have one shape, whoever writes them: that of CloudTrail's RotateKey and DeleteKey ("Log entries" in AWS KMS's
// Developer Guide: userIdentity of accountId and invokedBy, readOnly false for a change).
import { expect, it } from 'vitest';
import { serviceEvents } from '../../../src/audit/service-event.js';
import { serviceEventRecord } from '../../../src/model/service-event-record.js';
import { systemRandom } from '../../../src/kernel/random.js';

const ids = { requestId: 'request', eventId: 'event' };
const eventTimeMs = Date.UTC(2026, 10, 25, 12);
const read = (record: string): unknown => JSON.parse(record);

it('of a change to a key', () => {
  const record = serviceEventRecord({
    ...ids,
    eventTimeMs,
    eventName: 'RotateKey',
    awsRegion: 'us-west-2',
    isChange: true,
    accountId: '123456789012',
  });
  expect(read(record)).toEqual({
    eventVersion: '1.11',
    userIdentity: { accountId: '123456789012', invokedBy: 'hsm-bridge' },
    eventTime: '2026-11-25T12:00:00Z',
    eventSource: 'kms.amazonaws.com',
    eventName: 'RotateKey',
    awsRegion: 'us-west-2',
    sourceIPAddress: 'hsm-bridge',
    userAgent: 'hsm-bridge',
    requestParameters: null,
    responseElements: null,
    requestID: 'request',
    eventID: 'event',
    readOnly: false,
    eventType: 'AwsServiceEvent',
    managementEvent: true,
    recipientAccountId: '123456789012',
    eventCategory: 'Management',
  });
});

it('of what the log notices of itself', () => {
  const event = serviceEvents({ now: () => eventTimeMs }, systemRandom, 'us-west-2');
  expect(read(event('AuditSuspended', { reason: 'ENOSPC' }))).toMatchObject({
    userIdentity: { invokedBy: 'hsm-bridge' },
    readOnly: true,
    serviceEventDetails: { reason: 'ENOSPC' },
  });
});
