// What the daemon does of itself, without a caller (a deletion that is due, an automatic rotation, a first access key …): audited as
// CloudTrail's AwsServiceEvent, changes with an intent first.
import { BridgeError } from '../kernel/errors.js';
import { keyResourceJson, resourcesJson } from '../model/audit-record.js';
import type { Key } from '../model/key.js';
import { serviceEventRecord } from '../model/service-event-record.js';
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
  const call = { isChange: true, requestId: random.uuid() };
  audit.requireWritable();
  await audit.append('intent', record(services, occurrence, call));
  try {
    const result = await change();
    await audit.append('event', record(services, occurrence, call));
    return result;
  } catch (error) {
    const errorCode = error instanceof BridgeError ? error.code : 'KMSInternalException';
    await audit.append('event', record(services, occurrence, { ...call, errorCode }));
    throw error;
  }
}

/** Records what was noticed, and changed nothing. */
export const noticed = (services: Services, occurrence: Occurrence): Promise<void> =>
  services.audit.append('event', record(services, occurrence, { isChange: false, requestId: services.random.uuid() }));

function record(
  { clock, random }: Services,
  { region, ...occurrence }: Occurrence,
  outcome: { readonly isChange: boolean; readonly requestId: string; readonly errorCode?: string },
): string {
  return serviceEventRecord({
    ...occurrence,
    ...outcome,
    awsRegion: region,
    eventTimeMs: clock.now(),
    eventId: random.uuid(),
  });
}
