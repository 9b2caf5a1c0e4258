// Regions of one supervisor: each has a token host once it is first wanted, and one that cannot be served does the others no harm.
import { describe, expect, it } from 'vitest';
import { type Place, placePerTest, until } from './daemon.js';

let place: Place;
placePerTest((made) => (place = made));

describe('Regions', () => {
  it('start when they are first wanted, once', async () => {
    const daemon = place.start();
    await place.ready();
    expect(place.starts('token-host')).toHaveLength(1);
    await Promise.all([
      place.ask('/wanted?region=eu-west-1'),
      place.ask('/wanted?region=eu-west-1'),
      place.ask('/wanted?region=mars-1'),
    ]);
    await until(() =>
      place.events().some(({ heard }) => heard?.type === 'token-ready' && heard.region === 'eu-west-1'),
    );
    await until(() => place.events().some(({ heard }) => heard?.region === 'mars-1' && heard.broken === true));
    expect(place.starts('token-host')).toHaveLength(2);
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });

  it('one that cannot be served leaves the others alone and is not tried again', async () => {
    place.turn('fatal-eu-west-1', 'token-missing');
    const daemon = place.start();
    await place.ready();
    const refusals = (): number =>
      place.events().filter(({ heard }) => heard?.region === 'eu-west-1' && heard.broken === true).length;
    await place.ask('/wanted?region=eu-west-1');
    await until(() => refusals() === 1);
    await place.ask('/wanted?region=eu-west-1');
    await until(() => refusals() === 2);
    expect(place.starts('token-host')).toHaveLength(2);
    expect(daemon.errors()).toContain('token-missing of eu-west-1: do this');
    // A gateway that starts again hears it too, before it asks.
    process.kill(Number(await place.ask('/')), 'SIGKILL');
    await until(() => refusals() === 3);
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });
});
