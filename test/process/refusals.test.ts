// Daemons that cannot run or were killed: one line, one attempt, nothing left, and a successor that is not hindered.
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Daemon, lives, type Place, placePerTest, until } from './daemon.js';

let place: Place;
placePerTest((made) => (place = made));

describe('a daemon that cannot run', () => {
  const refusal = (daemon: Daemon): string[] =>
    daemon
      .errors()
      .split('\n')
      .filter((line) => line.startsWith('hsm-bridge: '));

  it.each(['wrong-pin', 'login-unclear', 'module-missing', 'token-missing', 'token-unsafe', 'pin-file'])(
    'stops on %s of the default Region after one attempt',
    async (code) => {
      place.turn('fatal-us-east-1', code);
      const daemon = place.start();
      expect(await daemon.ended).toBe(1);
      expect(refusal(daemon)).toEqual([`hsm-bridge: ${code} of us-east-1: do this`]);
      expect(place.starts('token-host')).toHaveLength(1);
      place.expectNothingLeft();
    },
  );

  it('says that a port is in use', async () => {
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', () => resolve()));
    const { port } = squatter.address() as AddressInfo;
    const daemon = place.start({ listen: { port } });
    expect(await daemon.ended).toBe(1);
    expect(refusal(daemon)).toEqual([
      `hsm-bridge: port ${port} is in use: stop what uses it, or set HSM_BRIDGE_PORT to another (0: any free one)`,
    ]);
    // Before anything was started.
    expect(place.events()).toEqual([]);
    place.expectNothingLeft();
    squatter.close();
  });

  it('leaves a first daemon on the same home alone, under whatever name', async () => {
    const first = place.start();
    const env = await place.ready();
    const second = place.start({ home: join(place.home, 'run/..') });
    expect(await second.ended).toBe(1);
    expect(refusal(second)).toHaveLength(1);
    expect(refusal(second)[0]).toMatch(/another hsm-bridge runs on .*: stop it, or give this one another home/);
    expect(place.devEnv()).toEqual(env);
    expect(place.starts('gateway')).toHaveLength(1);
    expect(await first.stop()).toBe(0);
    place.expectNothingLeft();
  });

  it('says that its home cannot be written', async () => {
    mkdirSync(place.home);
    writeFileSync(join(place.home, 'file'), '');
    const daemon = place.start({ home: join(place.home, 'file/home') });
    expect(await daemon.ended).toBe(1);
    expect(refusal(daemon)).toHaveLength(1);
    expect(refusal(daemon)[0]).toMatch(/cannot write to .*\/file\/home: ENOTDIR/);
  });
});

describe('a supervisor that was killed', () => {
  it('leaves no process, and its successor is ready on the same home and port', async () => {
    const first = place.start({ gateways: 2 });
    const port = Number(new URL((await place.ready())['AWS_ENDPOINT_URL_KMS']!).port);
    first.process.kill('SIGKILL');
    await once(first.process, 'exit');
    // At once, while the orphans may still be dying.
    place.turn('crash-us-east-1');
    const second = place.start({ gateways: 2, listen: { port } });
    await until(() => place.starts('token-host').length === 2);
    // The file of the first start says "ready" no more, though this one is not ready yet.
    expect(existsSync(join(place.home, 'dev.env'))).toBe(false);
    place.turn('crash-us-east-1', false);
    await place.ready();
    expect(await second.stop()).toBe(0);
    place.expectNothingLeft();
  });

  it('may leave a host that hangs in a native call: the successor ends it before it starts its own', async () => {
    place.turn('hung-host');
    const first = place.start();
    await place.ready();
    const [orphan] = place.starts('token-host');
    first.process.kill('SIGKILL');
    await until(() => place.starts('gateway').every(({ pid }) => !lives(pid)));
    expect(lives(orphan!.pid)).toBe(true);
    const second = place.start();
    await until(() => place.starts('token-host').length === 2);
    expect(lives(orphan!.pid)).toBe(false);
    await place.ready();
    expect(second.errors()).toContain('ended 1 process(es)');
    place.turn('hung-host', false);
    expect(await second.stop()).toBe(0);
    place.expectNothingLeft();
  });
});
