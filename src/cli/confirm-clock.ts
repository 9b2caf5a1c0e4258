// `hsm-bridge confirm-clock`: an operator's word that the machine's clock is right. It works on the home alone, whether a daemon runs or not.
import { lstatSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemClock } from '../kernel/clock.js';
import { presentPoint, writePoint } from '../process/clock-point.js';
import { FatalError } from '../process/fatal.js';
import { whenWritable } from '../process/home.js';
import { isOurs } from '../process/private-files.js';

/** Returns the time that is confirmed, in ms. Throws FatalError home-unsafe for what is not a home of this user, home-unwritable. */
export function confirmClock(named: string): number {
  const home = resolve(named);
  const stats = lstatSync(home, { throwIfNoEntry: false });
  if (stats?.isDirectory() !== true)
    throw new FatalError('home-unsafe', `${home} is no folder: name the daemon's home`);
  if (!isOurs(stats)) {
    throw new FatalError('home-unsafe', `${home} belongs to user ${stats.uid}: type this as that user`);
  }
  const present = { ...presentPoint(systemClock.now()), confirmed: true };
  whenWritable(home, () => writePoint(home, present));
  return present.wallMs;
}
