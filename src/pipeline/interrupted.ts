// Intents that a crash left without an outcome get one: the log never ends a change with a question.
import type { Services } from '../operations/define.js';

const message =
  'The daemon stopped before this operation was answered. It may have taken effect: a key that was being created is there if its material was made.';

/** Appends, for an intent found at the start, an event with its requestID that says it was interrupted. */
export async function closeInterrupted(services: Services, intent: string): Promise<void> {
  const record = JSON.parse(intent) as Record<string, unknown>;
  const end = { eventID: services.random.uuid(), errorCode: 'KMSInternalException', errorMessage: message };
  await services.audit.append('event', JSON.stringify({ ...record, ...end }));
}
