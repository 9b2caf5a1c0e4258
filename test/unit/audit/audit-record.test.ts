// The record against CloudTrail's field list, in its order, and its limits; all of it read back by JSON.parse.
import { describe, expect, it } from 'vitest';
import {
  aliasResourceJson,
  auditRecord,
  type AuditRecordParts,
  keyResourceJson,
  mostRecordBytes,
  resourcesJson,
} from '../../../src/model/audit-record.js';
import { unknownIdentityJson, userIdentityJson } from '../../../src/model/user-identity.js';

const principal = {
  type: 'Root',
  accountId: '111122223333',
  arn: 'arn:aws:iam::111122223333:root',
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
} as const;
const key = { region: 'us-west-2', accountId: '111122223333', keyId: '1234abcd-12ab-34cd-56ef-1234567890ab' };
const keyArn = 'arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';

const encrypt: AuditRecordParts = {
  service: 'kms',
  eventTimeMs: Date.UTC(2026, 10, 25, 12, 0, 0, 999),
  eventName: 'Encrypt',
  awsRegion: 'us-west-2',
  sourceIp: '192.0.2.1',
  userAgent: 'aws-cli/2.31',
  userIdentityJson: userIdentityJson(principal),
  requestParametersJson: '{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","keyId":"alias/a"}',
  responseElementsJson: 'null',
  additionalEventDataJson: '{"keyMaterialId":"00"}',
  requestId: '2eeac1b2-1f8e-4f0a-9d0b-0a9b6a6a0a01',
  eventId: '2eeac1b2-1f8e-4f0a-9d0b-0a9b6a6a0a02',
  readOnly: true,
  resourcesJson: resourcesJson([keyResourceJson(key)]),
  recipientAccountId: '111122223333',
};

// "CloudTrail record contents for management, data, and network activity events", as far as it concerns KMS.
const fields = [
  'eventVersion',
  'userIdentity',
  'eventTime',
  'eventSource',
  'eventName',
  'awsRegion',
  'sourceIPAddress',
  'userAgent',
  'errorCode',
  'errorMessage',
  'requestParameters',
  'responseElements',
  'additionalEventData',
  'requestID',
  'eventID',
  'readOnly',
  'resources',
  'eventType',
  'managementEvent',
  'recipientAccountId',
  'serviceEventDetails',
  'eventCategory',
];

const read = (parts: Partial<AuditRecordParts>): Record<string, unknown> =>
  JSON.parse(auditRecord({ ...encrypt, ...parts })) as Record<string, unknown>;

describe('a record', () => {
  it('has the fields of CloudTrail in their order', () => {
    const all = read({ errorCode: 'AccessDenied', errorMessage: 'no', serviceEventDetailsJson: '{}' });
    expect(Object.keys(all)).toEqual(fields);
  });

  it('reads back as what was put in', () => {
    expect(read({})).toEqual({
      eventVersion: '1.11',
      userIdentity: {
        type: 'Root',
        principalId: '111122223333',
        arn: 'arn:aws:iam::111122223333:root',
        accountId: '111122223333',
        accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
      },
      eventTime: '2026-11-25T12:00:00Z',
      eventSource: 'kms.amazonaws.com',
      eventName: 'Encrypt',
      awsRegion: 'us-west-2',
      sourceIPAddress: '192.0.2.1',
      userAgent: 'aws-cli/2.31',
      requestParameters: { encryptionAlgorithm: 'SYMMETRIC_DEFAULT', keyId: 'alias/a' },
      responseElements: null,
      additionalEventData: { keyMaterialId: '00' },
      requestID: encrypt.requestId,
      eventID: encrypt.eventId,
      readOnly: true,
      resources: [{ accountId: '111122223333', type: 'AWS::KMS::Key', ARN: keyArn }],
      eventType: 'AwsApiCall',
      managementEvent: true,
      recipientAccountId: '111122223333',
      eventCategory: 'Management',
    });
  });

  it('quotes what a caller may choose, on one line', () => {
    const nasty = '"},"x":{"\n\\\u2028\ud800';
    const text = auditRecord({ ...encrypt, userAgent: nasty, eventName: nasty, sourceIp: nasty, errorMessage: nasty });
    expect(text).not.toContain('\n');
    expect(JSON.parse(text)).toMatchObject({
      userAgent: nasty,
      eventName: nasty,
      errorMessage: nasty,
      awsRegion: 'us-west-2',
    });
  });

  it('cuts userAgent and errorMessage to 1 KB without splitting a character', () => {
    for (const text of [
      'a'.repeat(5000),
      'é'.repeat(5000),
      `a${'é'.repeat(5000)}`,
      '😀'.repeat(5000),
      `abc${'😀'.repeat(400)}`,
    ]) {
      for (const field of ['userAgent', 'errorMessage']) {
        const cut = read({ [field]: text })[field] as string;
        const bytes = Buffer.byteLength(cut);
        expect(text.startsWith(cut)).toBe(true);
        expect(bytes).toBeLessThanOrEqual(1024);
        expect(bytes).toBeGreaterThan(1024 - 4);
      }
    }
    expect(read({ userAgent: 'u'.repeat(1024) })['userAgent']).toBe('u'.repeat(1024));
  });

  it('omits fields above their limits, and stays within what the log takes', () => {
    const json = (bytes: number): string => JSON.stringify('x'.repeat(bytes - 2));
    const limit = 100 * 1024;
    expect(read({ requestParametersJson: json(limit) })['requestParameters']).toHaveLength(limit - 2);
    expect(read({ requestParametersJson: json(limit + 1) })['requestParameters']).toEqual({ omitted: true });
    expect(read({ responseElementsJson: json(limit + 1) })['responseElements']).toEqual({ omitted: true });
    expect(read({ additionalEventDataJson: json(28 * 1024 + 1) })['additionalEventData']).toEqual({ omitted: true });
    expect(read({ serviceEventDetailsJson: json(limit + 1) })['serviceEventDetails']).toEqual({ omitted: true });
    const both = auditRecord({ ...encrypt, requestParametersJson: json(limit), responseElementsJson: json(limit) });
    expect(Buffer.byteLength(both)).toBeLessThanOrEqual(mostRecordBytes);
    expect(JSON.parse(both)).toMatchObject({ requestParameters: { omitted: true } });
    expect((JSON.parse(both) as { responseElements: string }).responseElements).toHaveLength(limit - 2);
  });
});

describe('fragments', () => {
  it('say who called, or what he claimed', () => {
    expect(JSON.parse(userIdentityJson(principal))).toEqual({ ...principal, principalId: '111122223333' });
    expect(JSON.parse(unknownIdentityJson())).toEqual({ type: 'Unknown' });
    expect(JSON.parse(unknownIdentityJson('AKIA"x'))).toEqual({ type: 'Unknown', accessKeyId: 'AKIA"x' });
  });

  it('name keys and aliases', () => {
    const alias = 'arn:aws:kms:us-west-2:111122223333:alias/a';
    expect(JSON.parse(resourcesJson([keyResourceJson(key), aliasResourceJson(alias, '111122223333')]))).toEqual([
      { accountId: '111122223333', type: 'AWS::KMS::Key', ARN: keyArn },
      { accountId: '111122223333', type: 'AWS::KMS::Alias', ARN: alias },
    ]);
  });
});
