// How a host starts, and how it says that it cannot: real processes on real tokens, one login at most.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fatal } from '../../src/config/processes.js';
import { pin, profilePath, SoftStore, tokenLabel, type Host } from './soft-token.js';

let store: SoftStore;

beforeEach(() => {
  store = new SoftStore();
});

afterEach(async () => {
  await store.remove();
});

async function fatal(host: Host): Promise<Fatal> {
  const message = await host.said();
  if (message.type !== 'fatal') throw new Error('the host is ready');
  expect(await host.exit).toEqual({ code: 3, signal: null });
  expect(host.stderr.join('')).toBe('');
  expect(existsSync(store.socketPath)).toBe(false);
  expect(JSON.stringify(message)).not.toContain(pin);
  return message;
}

const refusedPins = (): boolean => store.tool('--list-token-slots').includes('user PIN count low');

describe('a wrong PIN', () => {
  beforeEach(() => {
    store.initialise();
    writeFileSync(store.pinFile, 'wrong-pin-0815\n');
  });

  it('is tried once, and not by the next start', async () => {
    expect(refusedPins()).toBe(false);
    const message = await fatal(store.start());
    expect(message.code).toBe('wrong-pin');
    expect(message.message).toContain(store.pinFile);
    expect(refusedPins()).toBe(true);
    const marker = readFileSync(store.notes()[0]!, 'utf8');
    expect(marker).not.toContain('wrong-pin-0815');
    expect(statSync(store.notes()[0]!).mode & 0o777).toBe(0o600);
    expect(statSync(store.notesFolder).mode & 0o777).toBe(0o700);
    store.asUser('--list-objects'); // a right login clears the token's flag
    expect(refusedPins()).toBe(false);
    for (let restart = 0; restart < 2; restart++) {
      expect((await fatal(store.start())).code).toBe('wrong-pin');
      expect(refusedPins()).toBe(false);
    }
  });

  it('can be corrected', async () => {
    await fatal(store.start());
    writeFileSync(store.pinFile, `${pin}\n`);
    await store.start().ready();
    expect(store.notes()).toEqual([]);
  });

  it('is noted for this content only: another wrong one is one more attempt', async () => {
    await fatal(store.start());
    store.asUser('--list-objects');
    writeFileSync(store.pinFile, 'wrong-pin-0816\n');
    utimesSync(store.pinFile, 1, 1);
    expect((await fatal(store.start())).code).toBe('wrong-pin');
    expect(refusedPins()).toBe(true);
  });
});

describe('a host that is killed during its login', () => {
  it('is followed by none that logs in, until the operator says so', async () => {
    store.initialise();
    expect(await store.start({}, 'dying-login-entry.mjs').exit).toEqual({ code: null, signal: 'SIGKILL' });
    for (let restart = 0; restart < 2; restart++) {
      const message = await fatal(store.start());
      expect(message.code).toBe('login-unclear');
      expect(message.message).toContain(`touch ${store.pinFile} or delete ${store.notes()[0]}`);
    }
    rmSync(store.notes()[0]!);
    await store.start().ready();
  });
});

describe('two hosts of one token and one PIN file that start at the same moment', () => {
  const startBoth = (): readonly Host[] =>
    ['eu-test-1', 'eu-test-2'].map((region) =>
      store.start({ region, socketPath: join(store.home, `${region}.sock`) }, 'slow-login-entry.mjs'),
    );
  const logins = (): number => readFileSync(join(store.home, 'logins'), 'utf8').split('\n').length - 1;

  beforeEach(() => {
    store.initialise();
  });

  it('offer it a wrong PIN once', async () => {
    writeFileSync(store.pinFile, 'wrong-pin-0815\n');
    const messages = await Promise.all(startBoth().map(fatal));
    expect(messages.map(({ code }) => code)).toEqual(['wrong-pin', 'wrong-pin']);
    expect(logins()).toBe(1);
    // Nor does a later start in either Region.
    expect((await fatal(store.start({ region: 'eu-test-2' }))).code).toBe('wrong-pin');
  });

  it('both work with the right one', async () => {
    await Promise.all(startBoth().map((host) => host.ready()));
    expect(logins()).toBe(2);
    expect(store.notes()).toEqual([]);
  });

  it('are not kept waiting by one that was killed: what it may have cost is for the operator to say', async () => {
    expect(await store.start({}, 'dying-login-entry.mjs').exit).toEqual({ code: null, signal: 'SIGKILL' });
    const messages = await Promise.all(startBoth().map(fatal));
    expect(messages.map(({ code }) => code)).toEqual(['login-unclear', 'login-unclear']);
  });
});

describe('a PIN file', () => {
  beforeEach(() => {
    store.initialise();
  });

  const bad: readonly (readonly [what: string, change: () => void])[] = [
    ['is missing', () => rmSync(store.pinFile)],
    ['is readable by others', () => chmodSync(store.pinFile, 0o644)],
    [
      'is a folder',
      () => {
        rmSync(store.pinFile);
        symlinkSync(store.tokens, store.pinFile);
      },
    ],
    ['is empty', () => writeFileSync(store.pinFile, '')],
    ['has two lines', () => writeFileSync(store.pinFile, `${pin}\n${pin}\n`)],
    ['has a NUL in it', () => writeFileSync(store.pinFile, `${pin}\0`)],
    ['is longer than a PIN can be', () => writeFileSync(store.pinFile, 'x'.repeat(256))],
  ];

  it.each(bad)('that %s is not offered to the token', async (_, change) => {
    change();
    expect((await fatal(store.start())).code).toBe('pin-file');
    expect(refusedPins()).toBe(false);
  });

  it('may be a link, as mounted secrets are, and end without a line feed', async () => {
    const elsewhere = join(store.home, 'elsewhere');
    writeFileSync(elsewhere, pin, { mode: 0o600 });
    rmSync(store.pinFile);
    symlinkSync(elsewhere, store.pinFile);
    await store.start().ready();
  });
});

describe('a host does not start', () => {
  it('without the module', async () => {
    const message = await fatal(store.start({ modulePath: '/nonexistent/libpkcs11.so' }));
    expect(message.code).toBe('module-missing');
    expect(message.message).toContain('/nonexistent/libpkcs11.so');
  });

  it('with a library that is no PKCS#11 module, or no library', async () => {
    const library = join(process.cwd(), 'node_modules/pkcs11js/build/Release/pkcs11.node');
    expect((await fatal(store.start({ modulePath: library }))).code).toBe('module-missing');
    expect((await fatal(store.start({ modulePath: store.conf }))).code).toBe('module-missing');
  });

  it('when the module does not initialise', async () => {
    writeFileSync(store.conf, 'directories.tokendir = /nonexistent/tokens\n');
    expect((await fatal(store.start())).code).toBe('module-missing');
  });

  it('on a blank store, with another label, or without a user PIN', async () => {
    expect((await fatal(store.start())).code).toBe('token-missing');
    store.initialise(false);
    expect((await fatal(store.start({ tokenLabel: 'tes' }))).code).toBe('token-missing');
    expect(await fatal(store.start())).toMatchObject({
      code: 'wrong-pin',
      message: expect.stringContaining('no user PIN') as string,
    });
    expect(store.notes()).toEqual([]);
  });

  it('when two tokens have the label', async () => {
    store.initialise();
    store.tool('--slot-index', '1', '--init-token', '--label', tokenLabel, '--so-pin', 'another-so-pin');
    expect((await fatal(store.start())).code).toBe('token-missing');
  });

  it('with a profile that is none', async () => {
    store.initialise();
    const path = join(store.home, 'profile.json');
    expect((await fatal(store.start({ profilePath: path }))).code).toBe('configuration');
    copyFileSync(profilePath, path);
    const text = readFileSync(path, 'utf8').replace('"gcm-host-iv"', '"rot13"');
    writeFileSync(path, text);
    expect((await fatal(store.start({ profilePath: path }))).message).toContain('gcm.strategy');
  });
});

describe('a host', () => {
  beforeEach(() => {
    store.initialise();
  });

  it('replaces a socket that a killed one left, and keeps it to its user', async () => {
    const first = await store.start().ready();
    await first.kill();
    expect(existsSync(store.socketPath)).toBe(true);
    await store.start().ready();
    expect(statSync(store.socketPath).mode & 0o077).toBe(0);
  });

  it('keeps the PIN out of its arguments and environment', async () => {
    const host = await store.start().ready();
    for (const file of ['cmdline', 'environ']) {
      expect(readFileSync(`/proc/${host.child.pid}/${file}`, 'latin1')).not.toContain(pin);
    }
  });

  it('ignores signals meant for its parent, and ends on stop', async () => {
    const host = await store.start().ready();
    host.signal('SIGTERM');
    host.signal('SIGINT');
    const socket = connect(store.socketPath).on('error', () => socket.destroy());
    await new Promise((resolve) => socket.once('connect', resolve));
    host.child.send({ type: 'stop' });
    expect(await host.exit).toEqual({ code: 0, signal: null });
    socket.destroy();
  });

  it('ends with its parent', async () => {
    const host = await store.start().ready();
    host.child.disconnect();
    expect(await host.exit).toEqual({ code: 0, signal: null });
  });

  it('finds its token by the label that pkcs11-tool gave it', async () => {
    expect(await store.start().said()).toMatchObject({ type: 'ready', token: { label: tokenLabel } });
  });
});
