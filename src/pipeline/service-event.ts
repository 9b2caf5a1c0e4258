// Changes that no caller asked for (a deletion that is due, an automatic rotation): audited as CloudTrail's AwsServiceEvent, intent first.
import { BridgeError } from '../kernel/errors.js';
import { auditRecord, type AuditRecordParts } from '../model/audit-record.js';
import { arnOfKey, type Key } from '../model/key.js';
import type { Services } from '../operations/define.js';

export async function serviceEvent<T>(
  services: Services,
  eventName: string,
  key: Key,
  change: () => Promise<T>,
): Promise<T> {
  const { audit, clock, random } = services;
  const requestId = random.uuid();
  const parts = (): AuditRecordParts => ({
    eventTimeMs: clock.now(),
    eventName,
    awsRegion: key.region,
    sourceIp: 'hsm-bridge',
    userAgent: 'hsm-bridge',
    userIdentityJson: JSON.stringify({ accountId: key.accountId, invokedBy: 'hsm-bridge' }),
    requestParametersJson: 'null',
    responseElementsJson: 'null',
    requestId,
    eventId: random.uuid(),
    readOnly: false,
    resourcesJson: JSON.stringify([{ accountId: key.accountId, type: 'AWS::KMS::Key', ARN: arnOfKey(key) }]),
    eventType: 'AwsServiceEvent',
    recipientAccountId: key.accountId,
  });
  audit.requireWritable();
  await audit.append('intent', auditRecord(parts()));
  try {
    const result = await change();
    await audit.append('event', auditRecord(parts()));
    return result;
  } catch (error) {
    const errorCode = error instanceof BridgeError ? error.code : 'KMSInternalException';
    await audit.append('event', auditRecord({ ...parts(), errorCode }));
    throw error;
  }
}
