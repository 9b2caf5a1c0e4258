// Regions of one supervisor: each has a token host once it is first wanted, and one that cannot be served does the others no harm.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
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

  const refusals = (region = 'eu-west-1'): readonly unknown[] =>
    place
      .events()
      .filter(({ heard }) => heard?.region === region && heard.broken === true)
      .map(({ heard }) => heard?.code);

  it.each(['wrong-pin', 'login-unclear', 'pin-file', 'token-unsafe'])(
    'one that %s keeps from being served leaves the others alone and is not tried again',
    async (code) => {
      place.turn('fatal-eu-west-1', code);
      const daemon = place.start();
      await place.ready();
      await place.ask('/wanted?region=eu-west-1');
      await until(() => refusals().length === 1);
      await place.ask('/wanted?region=eu-west-1');
      await until(() => refusals().length === 2);
      expect(place.starts('token-host')).toHaveLength(2);
      expect(daemon.errors().split(`${code} of eu-west-1: do this`)).toHaveLength(2);
      // A gateway that starts again hears it too, before it asks.
      process.kill(Number(await place.ask('/')), 'SIGKILL');
      await until(() => refusals().length === 3);
      expect(new Set(refusals())).toEqual(new Set([code]));
      expect(await daemon.stop()).toBe(0);
      place.expectNothingLeft();
    },
  );

  it('the default one does not end a daemon that serves the others', async () => {
    const daemon = place.start();
    await place.ready();
    await place.ask('/wanted?region=eu-west-1');
    await until(() => place.events().some(({ ready }) => ready === 'eu-west-1'));
    place.turn('fatal-us-east-1', 'wrong-pin');
    process.kill(place.starts('token-host')[0]!.pid, 'SIGKILL');
    await until(() => refusals('us-east-1').length === 1);
    expect(await place.ask('/')).toMatch(/^\d+$/);
    expect(place.starts('token-host')).toHaveLength(3);
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });

  it('whose token is away when it is first wanted are served when it is back', async () => {
    place.turn('fatal-eu-west-1', 'token-missing');
    const daemon = place.start();
    await place.ready();
    await place.ask('/wanted?region=eu-west-1');
    // Calls there fail at once, and do not start a process each.
    await until(() => refusals().length === 1);
    const calls = Array.from({ length: 20 }, () => place.ask('/wanted?region=eu-west-1'));
    await Promise.all(calls);
    expect(place.starts('token-host').length).toBeLessThan(10);
    place.turn('fatal-eu-west-1', false);
    await until(() => place.events().some(({ ready }) => ready === 'eu-west-1'));
    expect(daemon.errors().split('error: supervisor: token of eu-west-1 is away')).toHaveLength(2);
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });

  it('whose folder is none end nothing but themselves', async () => {
    const daemon = place.start();
    await place.ready();
    const folder = join(place.home, 'tokens/eu-west-1');
    writeFileSync(folder, 'a file where the folder should be');
    await place.ask('/wanted?region=eu-west-1');
    await until(() => refusals().length > 0);
    expect(new Set(refusals())).toEqual(new Set(['home-unsafe']));
    expect(await place.ask('/')).toMatch(/^\d+$/);
    expect(place.starts('token-host')).toHaveLength(1);
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });
});
