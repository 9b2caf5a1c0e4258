// SoftHSM's profile with another number of calls in flight, as a token that takes many at once has it.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { profilePath, type SoftStore } from './soft-token.js';

/** The path of a file in the store's folder. */
export function threadedProfile(store: SoftStore, callsInFlight: number): string {
  const profile = JSON.parse(readFileSync(profilePath, 'utf8')) as Record<string, object>;
  const path = join(store.home, 'profile.json');
  const value = { value: callsInFlight, because: 'a test says so' };
  writeFileSync(path, JSON.stringify({ ...profile, callsInFlight: value }));
  return path;
}
