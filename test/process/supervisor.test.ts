// The supervisor over real processes: what it starts, in which order, what it writes, and that nothing is left when it ends.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { lives, type Place, placePerTest, until } from './daemon.js';

let place: Place;
placePerTest((made) => (place = made));

describe('a start', () => {
  it('writes its files when it is ready, private, and removes what says "ready" at the end', async () => {
    const daemon = place.start();
    const env = await place.ready();
    const url = `http://127.0.0.1:${new URL(env['AWS_ENDPOINT_URL_KMS']!).port}`;
    expect(Object.entries(env)).toEqual([
      ['AWS_ENDPOINT_URL_KMS', url],
      ['AWS_ACCESS_KEY_ID', 'AKIATEST0'],
      ['AWS_SECRET_ACCESS_KEY', 'secret/of+0'],
      ['AWS_REGION', 'us-east-1'],
      ['AWS_DEFAULT_REGION', 'us-east-1'],
      ['HSM_BRIDGE_ADMIN_URL', expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/) as string],
    ]);
    // A shell reads the same values.
    const sourced = execFileSync('sh', [
      '-c',
      '. "$0"; printf %s "$AWS_SECRET_ACCESS_KEY"',
      join(place.home, 'dev.env'),
    ]);
    expect(sourced.toString()).toBe('secret/of+0');
    // And so does the AWS command line, by profile.
    const configured = execFileSync(
      'python3',
      [
        '-c',
        'import configparser,sys; c=configparser.ConfigParser(); c.read(sys.argv[1]); print(c.sections(), c["second-account"]["aws_secret_access_key"])',
        join(place.home, 'credentials'),
      ],
      { encoding: 'utf8' },
    );
    expect(configured.trim()).toBe("['default', 'second-account'] secret/of+1");
    for (const [name, mode] of [
      ['', 0o700],
      ['run', 0o700],
      ['dev.env', 0o600],
      ['credentials', 0o600],
    ] as const) {
      expect(statSync(join(place.home, name)).mode & 0o777).toBe(mode);
    }
    expect(statSync(join(place.home, 'run/us-east-1.sock')).mode & 0o077).toBe(0);
    await until(() => daemon.output().includes('Ctrl-C'));
    for (const part of [
      url,
      env['HSM_BRIDGE_ADMIN_URL']!,
      'label us-east-1',
      'serial-1',
      'aws kms',
      'NOT FOR PRODUCTION',
    ]) {
      expect(daemon.output()).toContain(part);
    }
    expect(daemon.output() + daemon.errors()).not.toContain('secret/of');

    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
    expect(existsSync(join(place.home, 'credentials'))).toBe(true);
  });

  it('configures the gateway only when the token is ready, and says nothing in arguments', async () => {
    const daemon = place.start();
    await place.ready();
    const order = place.events().map(({ role, ready, heard }) => `${role} ${ready ?? heard?.type ?? ''}`);
    expect(order.indexOf('token-host us-east-1')).toBeLessThan(order.indexOf('gateway configure'));
    for (const start of place.events().filter((event) => event.start)) {
      expect(start.argv).toEqual([start.role, place.control]);
    }
    await daemon.stop();
  });

  it('gives children a private working directory and no environment but theirs', async () => {
    const daemon = place.start({}, { ...process.env, AWS_SECRET_ACCESS_KEY: 'not for a library', TZ: 'Asia/Seoul' });
    await place.ready();
    const [gateway] = place.starts('gateway');
    const [host] = place.starts('token-host');
    const allowed = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'NODE_EXTRA_CA_CERTS', 'NODE_OPTIONS'];
    for (const child of [gateway!, host!]) {
      expect(child.cwd).toBe(join(place.home, 'run'));
      expect(child.umask).toBe(0o077);
      expect(child.environment?.['TZ']).toBe('Asia/Seoul');
      const others = Object.keys(child.environment!).filter((name) => !allowed.includes(name));
      expect(others.toSorted()).toEqual(['MALLOC_ARENA_MAX', ...(child === host ? ['SOFTHSM2_CONF'] : [])]);
    }
    const conf = readFileSync(host!.environment!['SOFTHSM2_CONF']!, 'utf8');
    expect(conf).toContain(`directories.tokendir = ${join(place.home, 'tokens/us-east-1/objects')}\n`);
    await daemon.stop();
  });

  it('serves one port from several gateways, lane 0 first', async () => {
    const daemon = place.start({ gateways: 3 });
    await place.ready();
    const configured = place.events().filter(({ heard }) => heard?.type === 'configure' && 'lane' in heard.config!);
    const configs = configured.map(({ heard }) => heard!.config!);
    expect(configs[0]?.['lane']).toBe(0);
    expect(configs.map(({ lane }) => lane).sort()).toEqual([0, 1, 2]);
    const sockets = place.events().flatMap(({ heard }) => (heard?.type === 'socket' ? [heard.listener] : []));
    expect(sockets.sort()).toEqual(['admin', 'endpoint', 'endpoint', 'endpoint']);
    const answered = new Set<string>();
    await until(async () => answered.add(await place.ask('/')).size === 3);
    // One of them dies: the others go on, and it comes back on the same port.
    const [victim] = answered;
    process.kill(Number(victim), 'SIGKILL');
    await until(() => place.events().filter(({ heard }) => heard?.type === 'configure').length === 5);
    await until(async () => answered.add(await place.ask('/')).size === 4);
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });
});

describe('the end', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('on %s answers what is in flight', async (signal) => {
    const daemon = place.start();
    await place.ready();
    const answer = place.ask('/slow');
    await until(() => place.events().some(({ serving }) => serving));
    daemon.process.kill(signal);
    await until(() => !existsSync(join(place.home, 'dev.env')));
    await until(() => place.events().some(({ role, heard }) => role === 'gateway' && heard?.type === 'stop'));
    // The token is still there for the request in flight.
    expect(place.events().some(({ role, heard }) => role === 'token-host' && heard?.type === 'stop')).toBe(false);
    place.turn('release');
    expect(await answer).toBe('drained');
    expect(await daemon.ended).toBe(0);
    place.expectNothingLeft();
  });

  it('is orderly when a terminal signals the whole process group, and npm repeats it', async () => {
    const daemon = place.start();
    await place.ready();
    const answer = place.ask('/slow');
    await until(() => place.events().some(({ serving }) => serving));
    process.kill(-daemon.process.pid!, 'SIGINT');
    await until(() => place.events().filter(({ signal }) => signal === 'SIGINT').length === 2);
    daemon.process.kill('SIGINT');
    place.turn('release');
    expect(await answer).toBe('drained');
    expect(await daemon.ended).toBe(0);
    place.expectNothingLeft();
  });

  it('no longer waits after a second signal, but takes an echo of the first for one', async () => {
    place.turn('stuck-gateway');
    const daemon = place.start();
    await place.ready();
    daemon.process.kill('SIGINT');
    await until(() => daemon.errors().includes('draining'));
    daemon.process.kill('SIGINT');
    await sleep(1_200);
    expect(daemon.process.exitCode).toBe(null);
    expect(await daemon.stop('SIGINT')).toBe(1);
    place.expectNothingLeft();
  });

  it('no longer waits after the deadline', async () => {
    place.turn('stuck-gateway');
    const daemon = place.start({ deadlines: { drainMs: 300 } });
    await place.ready();
    expect(await daemon.stop()).toBe(1);
    expect(daemon.errors()).toContain('not drained after 300 ms');
    place.expectNothingLeft();
  });

  it('comes while the token host still crashes', async () => {
    place.turn('crash-us-east-1');
    const daemon = place.start();
    await until(() => place.starts('token-host').length >= 2);
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });
});

describe('a process that dies', () => {
  it('token host: gateways hear of it, it is started again', async () => {
    const daemon = place.start();
    await place.ready();
    process.kill(place.starts('token-host')[0]!.pid, 'SIGKILL');
    const heard = (): string[] =>
      place.events().flatMap(({ role, heard: message }) => (role === 'gateway' && message ? [message.type] : []));
    await until(() => heard().length >= 6);
    expect(heard()).toEqual(['socket', 'socket', 'configure', 'token-ready', 'token-down', 'token-ready']);
    expect(place.starts('token-host')).toHaveLength(2);
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });

  it('gateway: the same port again, and what is up', async () => {
    const daemon = place.start();
    await place.ready();
    await place.ask('/wanted?region=eu-west-1');
    await until(() =>
      place.events().some(({ heard }) => heard?.type === 'token-ready' && heard.region === 'eu-west-1'),
    );
    process.kill(Number(await place.ask('/')), 'SIGKILL');
    await until(async () => (await place.ask('/').catch(() => undefined)) !== undefined);
    const again = place.starts('gateway')[1]!.pid;
    expect(Number(await place.ask('/'))).toBe(again);
    await until(() => place.events().filter(({ pid }) => pid === again).length === 6);
    const regions = place.events().flatMap(({ pid, heard }) => (pid === again && heard?.region ? [heard.region] : []));
    expect(regions.sort()).toEqual(['eu-west-1', 'us-east-1']);
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });

  it('again and again: with growing pauses, until it works', async () => {
    place.turn('crash-us-east-1');
    const daemon = place.start();
    await until(() => place.starts('token-host').length === 4);
    expect(existsSync(join(place.home, 'dev.env'))).toBe(false);
    place.turn('crash-us-east-1', false);
    await place.ready();
    const pauses = [...daemon.errors().matchAll(/starting it again in (\d+) ms/g)].map(([, ms]) => Number(ms));
    for (const [index, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(50 * 2 ** index);
      expect(pause).toBeLessThanOrEqual(100 * 2 ** index);
    }
    expect(await daemon.stop()).toBe(0);
  });

  it('a host that hangs while it starts is killed and replaced', async () => {
    place.turn('hang-us-east-1');
    const daemon = place.start({ deadlines: { startMs: 1000 } });
    await until(() => place.starts('token-host').length === 2);
    expect(daemon.errors()).toContain('token host us-east-1 was not ready after 1000 ms: ending it');
    expect(lives(place.starts('token-host')[0]!.pid)).toBe(false);
    place.turn('hang-us-east-1', false);
    await place.ready();
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });

  it.each(['token-missing', 'module-missing'])('a host whose successor says %s is waited for', async (code) => {
    const daemon = place.start();
    await place.ready();
    place.turn('fatal-us-east-1', code);
    process.kill(place.starts('token-host')[0]!.pid, 'SIGKILL');
    await until(() => place.starts('token-host').length === 4);
    expect(daemon.errors()).toContain(`token of us-east-1 is away: ${code} of us-east-1: do this`);
    place.turn('fatal-us-east-1', false);
    await until(() => place.events().filter(({ ready }) => ready === 'us-east-1').length === 2);
    expect(await daemon.stop()).toBe(0);
    place.expectNothingLeft();
  });

  it.each(['wrong-pin', 'login-unclear', 'token-unsafe', 'pin-file', 'configuration'])(
    'a host whose successor says %s is the last of its Region, not of a daemon that serves others',
    async (code) => {
      const daemon = place.start();
      await place.ready();
      place.turn('fatal-us-east-1', code);
      process.kill(place.starts('token-host')[0]!.pid, 'SIGKILL');
      await until(() => place.events().some(({ heard }) => heard?.region === 'us-east-1' && heard.broken === true));
      // The gateway may hear of it before the line has come through the pipe.
      await until(() => daemon.errors().includes(`${code} of us-east-1: do this`));
      expect(place.starts('token-host')).toHaveLength(2);
      expect(await daemon.stop()).toBe(0);
      place.expectNothingLeft();
    },
  );

  it('a host that overran its deadline is killed and replaced', async () => {
    const daemon = place.start();
    await place.ready();
    const first = place.starts('token-host')[0]!.pid;
    await place.ask('/overrun?region=us-east-1');
    await until(() => place.events().filter(({ ready }) => ready === 'us-east-1').length === 2);
    expect(lives(first)).toBe(false);
    expect(await daemon.stop()).toBe(0);
  });
});
