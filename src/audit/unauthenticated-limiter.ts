// Calls that failed before anybody was authenticated.
import { FloodLimiter, type FloodOptions } from './flood-limiter.js';

const rule = {
  eventName: 'UnauthenticatedRequests',
  label: 'errorCode',
  mostPerSecond: 20,
  // Under 70 MB a day, when every record is as long as a stranger can make it.
  mostPerHour: 1000,
  mostPairs: 256,
} as const;

export class UnauthenticatedLimiter extends FloodLimiter {
  constructor(options: FloodOptions) {
    super(options, rule);
  }
}
