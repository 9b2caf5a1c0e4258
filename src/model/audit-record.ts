// One call as a CloudTrail record: a line of JSON put together from parts that are serialised once and kept. Everything a caller can
// choose is quoted or was serialised by JSON.stringify; nothing here may hold key material, plaintext or a secret.
import { arnOfKey, type KeyRef } from './key.js';
import { fitted, omittedJson } from './omission.js';
import type { Service } from './service.js';

/** Fragments named …Json must be JSON already, on one line. */
export interface AuditRecordParts {
  /** Milliseconds since 1970, when the request was completed: now. */
  readonly eventTimeMs: number;
  readonly service: Service;
  readonly eventName: string;
  readonly awsRegion: string;
  readonly sourceIp: string;
  readonly userAgent: string;
  readonly userIdentityJson: string;
  readonly requestParametersJson: string;
  readonly responseElementsJson: string;
  readonly additionalEventDataJson?: string | undefined;
  readonly errorCode?: string | undefined;
  readonly errorMessage?: string | undefined;
  readonly requestId: string;
  readonly eventId: string;
  readonly readOnly?: boolean | undefined;
  /** A list: `resourcesJson()`. */
  readonly resourcesJson?: string | undefined;
  readonly serviceEventDetailsJson?: string | undefined;
  /** AwsApiCall unless given. */
  readonly eventType?: 'AwsApiCall' | 'AwsServiceEvent' | undefined;
  readonly recipientAccountId?: string | undefined;
}

/** The log takes a record of at most this many bytes. */
export const mostRecordBytes = 128 * 1024;

const kilobyte = 1024;
const mostTextBytes = kilobyte;

/**
 * The record in CloudTrail's field order (eventVersion 1.11, "CloudTrail record contents"). userAgent and errorMessage are cut to 1 KB.
 * requestParameters and responseElements above 100 KB lose members (`fitted`), and so do requestParameters, then responseElements, of a
 * record that would pass `mostRecordBytes`; additionalEventData above 28 KB and serviceEventDetails above 100 KB are replaced whole.
 */
export function auditRecord(parts: AuditRecordParts): string {
  const request = limited(parts.requestParametersJson, 100 * kilobyte);
  const response = limited(parts.responseElementsJson, 100 * kilobyte);
  const record = build(parts, request, response);
  if (!exceeds(record, mostRecordBytes)) return record;
  const smaller = fitted(request, bytesLeft(request, record));
  const shorter = build(parts, smaller, response);
  return exceeds(shorter, mostRecordBytes)
    ? build(parts, smaller, fitted(response, bytesLeft(response, shorter)))
    : shorter;
}

/** How long a part of a record may be for the record to fit. */
const bytesLeft = (part: string, record: string): number =>
  Math.max(0, Buffer.byteLength(part) - (Buffer.byteLength(record) - mostRecordBytes));

function build(parts: AuditRecordParts, request: string, response: string): string {
  const { additionalEventDataJson, errorCode, errorMessage, readOnly, recipientAccountId, resourcesJson } = parts;
  const { serviceEventDetailsJson } = parts;
  let json = '{"eventVersion":"1.11","userIdentity":' + parts.userIdentityJson;
  json +=
    ',"eventTime":"' +
    seconds(parts.eventTimeMs) +
    '","eventSource":"' +
    parts.service +
    '.amazonaws.com","eventName":';
  json += quoted(parts.eventName) + ',"awsRegion":' + quoted(parts.awsRegion);
  json += ',"sourceIPAddress":' + quoted(parts.sourceIp);
  json += ',"userAgent":' + quoted(parts.userAgent);
  if (errorCode !== undefined) json += ',"errorCode":' + quoted(errorCode);
  if (errorMessage !== undefined) json += ',"errorMessage":' + JSON.stringify(cut(errorMessage, mostTextBytes));
  json += ',"requestParameters":' + request + ',"responseElements":' + response;
  if (additionalEventDataJson !== undefined) {
    json += ',"additionalEventData":' + whole(additionalEventDataJson, 28 * kilobyte);
  }
  json += ',"requestID":"' + parts.requestId + '","eventID":"' + parts.eventId + '"';
  if (readOnly !== undefined) json += readOnly ? ',"readOnly":true' : ',"readOnly":false';
  if (resourcesJson !== undefined) json += ',"resources":' + resourcesJson;
  json += parts.eventType === 'AwsServiceEvent' ? ',"eventType":"AwsServiceEvent"' : ',"eventType":"AwsApiCall"';
  json += ',"managementEvent":true';
  if (recipientAccountId !== undefined) json += ',"recipientAccountId":' + quoted(recipientAccountId);
  if (serviceEventDetailsJson !== undefined) {
    json += ',"serviceEventDetails":' + whole(serviceEventDetailsJson, 100 * kilobyte);
  }
  return json + ',"eventCategory":"Management"}';
}

const keyResources = new WeakMap<KeyRef, string>();

/** One entry of `resources`; kept as long as the key object is. */
export function keyResourceJson(key: KeyRef): string {
  const known = keyResources.get(key);
  if (known !== undefined) return known;
  const json = resourceJson(arnOfKey(key), key.accountId, 'AWS::KMS::Key');
  keyResources.set(key, json);
  return json;
}

export const aliasResourceJson = (arn: string, accountId: string): string =>
  resourceJson(arn, accountId, 'AWS::KMS::Alias');

export const resourcesJson = (entries: readonly string[]): string => `[${entries.join(',')}]`;

/** Of a key that was made: its ARN and whose it is. */
export const madeKeyResourceJson = (arn: string, accountId: string): string =>
  resourceJson(arn, accountId, 'AWS::KMS::Key');

function resourceJson(arn: string, accountId: string, type: string): string {
  return JSON.stringify({ accountId, type, ARN: arn });
}

let lastSecond = -1;
let lastSecondText = '';

/** UTC, whole seconds: 2026-11-25T12:00:00Z. */
function seconds(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (second !== lastSecond) {
    lastSecond = second;
    lastSecondText = new Date(second * 1000).toISOString().slice(0, 19) + 'Z';
  }
  return lastSecondText;
}

/** Names, addresses and user agents repeat from call to call. */
const quotedTexts = new Map<string, string>();
const mostQuotedTexts = 512;

/** A JSON string; the text is cut to 1 KB. */
function quoted(text: string): string {
  const known = quotedTexts.get(text);
  if (known !== undefined) return known;
  const json = JSON.stringify(cut(text, mostTextBytes));
  if (text.length > mostTextBytes) return json;
  if (quotedTexts.size >= mostQuotedTexts) quotedTexts.clear();
  quotedTexts.set(text, json);
  return json;
}

/** At most `mostBytes` of UTF-8, no character split. */
function cut(text: string, mostBytes: number): string {
  if (!exceeds(text, mostBytes)) return text;
  const bytes = Buffer.from(text.slice(0, mostBytes));
  let end = Math.min(mostBytes, bytes.length);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}

const limited = (json: string, mostBytes: number): string =>
  exceeds(json, mostBytes) ? fitted(json, mostBytes) : json;
const whole = (json: string, mostBytes: number): string => (exceeds(json, mostBytes) ? omittedJson : json);

function exceeds(text: string, mostBytes: number): boolean {
  return text.length * 3 > mostBytes && Buffer.byteLength(text) > mostBytes;
}
