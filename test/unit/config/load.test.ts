// Configuration: the defaults a user relies on, and one line that names the setting for each mistake.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { ConfigurationError } from '../../../src/config/daemon.js';
import { loadDevelopment, loadFile, packageRoot, tokenHostEnvironment } from '../../../src/config/load.js';

const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const file = join(folder, 'bridge.yaml');
const load = (text: string): ReturnType<typeof loadFile> => {
  writeFileSync(file, text);
  return loadFile(file);
};
const region = (lines = ''): string =>
  `regions:\n  us-east-1:\n    profile: softhsm2\n    label: keys\n    pinFile: pins/us-east-1\n${lines}`;
const keyStores = (...names: readonly string[]): string =>
  `    keyStores:\n${names.map((name) => `      - { name: ${name}, profile: softhsm2, label: ${name}, pinFile: pins/${name} }\n`).join('')}`;
const minimal = `home: /var/lib/hsm-bridge\n${region()}`;

async function refusal(load: () => unknown): Promise<string> {
  try {
    await load();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    const { message } = error as ConfigurationError;
    expect(message).not.toContain('\n');
    return message;
  }
  throw new Error('it was accepted');
}

describe('development mode', () => {
  it('needs nothing', () => {
    const config = loadDevelopment({}, '/somewhere');
    expect(config).toMatchObject({
      mode: 'dev',
      home: '/somewhere/.hsm-bridge',
      listen: { host: '127.0.0.1', port: 4599 },
      admin: { port: 4600 },
      defaultRegion: 'us-east-1',
      gateways: 1,
      accounts: ['000000000000', '111122223333'],
    });
    expect(config.keyStores.map(({ region: name }) => name)).toEqual([
      'us-east-1',
      'us-west-2',
      'eu-west-1',
      'eu-west-2',
      'ap-northeast-2',
    ]);
    const [first] = config.keyStores;
    expect(first?.environment).toEqual({ SOFTHSM2_CONF: '/somewhere/.hsm-bridge/tokens/us-east-1/softhsm2.conf' });
    expect(first?.tokenHost.profilePath).toBe(join(packageRoot, 'native-config/softhsm2.json'));
    for (const { tokenHost } of config.keyStores)
      expect(Buffer.byteLength(tokenHost.tokenLabel)).toBeLessThanOrEqual(32);
  });

  it('takes HSM_BRIDGE_* from the environment; empty is unset', () => {
    const environment = { HSM_BRIDGE_HOME: '/h', HSM_BRIDGE_PORT: '0', HSM_BRIDGE_ADMIN_PORT: '', HOME: '/root' };
    expect(loadDevelopment(environment, '/')).toMatchObject({
      home: '/h',
      listen: { port: 0 },
      admin: { port: 4600 },
    });
  });

  it('starts in a shell that has sourced dev.env', () => {
    expect(loadDevelopment({ HSM_BRIDGE_ADMIN_URL: 'http://127.0.0.1:1' })).toMatchObject({ admin: { port: 4600 } });
  });

  it.each([
    ['HSM_BRIDGE_PORT', '65536'],
    ['HSM_BRIDGE_PORT', '0x50'],
    ['HSM_BRIDGE_PORT', '-1'],
    ['HSM_BRIDGE_ADMIN_PORT', 'http'],
    ['HSM_BRIDGE_GATEWAYS', '0'],
    ['HSM_BRIDGE_LOG_LEVEL', 'loud'],
    ['HSM_BRIDGE_TLS_CERTIFICATE', 'alone.pem'],
    ['HSM_BRIDGE_SOCKET_MODE', '660'],
    ['HSM_BRIDGE_REGIONS', 'eu-west-1'],
  ])('refuses %s=%s by name', async (name, value) => {
    expect(await refusal(() => loadDevelopment({ [name]: value }))).toMatch(new RegExp(`^environment: ${name}: `));
  });
});

describe('the environment of a token host', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('has nothing of AWS, nothing of ours, and in service nothing by which Node loads code', () => {
    const own = { AWS_SECRET_ACCESS_KEY: 's', HSM_BRIDGE_HOME: '/h', LD_PRELOAD: '/x.so', TZ: 'Asia/Seoul' };
    const ofNode = { NODE_OPTIONS: '--no-warnings', NODE_EXTRA_CA_CERTS: '/ca.pem' };
    for (const [name, value] of Object.entries({ ...own, ...ofNode })) vi.stubEnv(name, value);
    expect(tokenHostEnvironment('dev')).toMatchObject({ TZ: 'Asia/Seoul', ...ofNode });
    const allowed = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];
    expect(tokenHostEnvironment('serve')).toMatchObject({ TZ: 'Asia/Seoul' });
    expect(Object.keys(tokenHostEnvironment('serve')).filter((name) => !allowed.includes(name))).toEqual([]);
  });
});

describe('the file of serve', () => {
  it('has defaults for all but home and regions; paths start at its folder', async () => {
    expect(await load(`home: data\n${region()}`)).toEqual({
      mode: 'serve',
      home: join(folder, 'data'),
      listen: { host: '127.0.0.1', port: 4599, socketMode: 0o600 },
      admin: { port: 4600 },
      defaultRegion: 'us-east-1',
      gateways: 1,
      accounts: ['000000000000'],
      deadlines: { tokenMs: 10_000, startMs: 60_000, drainMs: 15_000 },
      limits: { requestsPerSecond: 20_000, auditBytesPerSecond: 33_554_432 },
      logLevel: 'info',
      keyStores: [
        {
          region: 'us-east-1',
          keyStore: undefined,
          environment: {},
          softhsm: undefined,
          tokenHost: {
            region: 'us-east-1',
            keyStore: undefined,
            profilePath: join(packageRoot, 'native-config/softhsm2.json'),
            modulePath: undefined,
            tokenLabel: 'keys',
            pinFile: join(folder, 'pins/us-east-1'),
            notesFolder: join(folder, 'data/pins'),
            socketPath: 'us-east-1.sock',
            provision: undefined,
          },
        },
      ],
    });
  });

  it('has further key stores of a Region after its own, in their order, each with a socket of its own', async () => {
    const eu = region(keyStores('spare', 'archive')).replace('us-east-1:', 'eu-west-1:').replace('regions:\n', '');
    const config = await load(`home: data\n${region(keyStores('archive'))}${eu}`);
    expect(
      config.keyStores.map(({ region: name, keyStore, tokenHost }) => [name, keyStore, tokenHost.socketPath]),
    ).toEqual([
      ['us-east-1', undefined, 'us-east-1.sock'],
      ['us-east-1', 'archive', 'us-east-1.archive.sock'],
      ['eu-west-1', undefined, 'eu-west-1.sock'],
      ['eu-west-1', 'spare', 'eu-west-1.spare.sock'],
      ['eu-west-1', 'archive', 'eu-west-1.archive.sock'],
    ]);
    expect(config.keyStores[1]?.tokenHost).toMatchObject({
      region: 'us-east-1',
      keyStore: 'archive',
      tokenLabel: 'archive',
      pinFile: join(folder, 'pins/archive'),
      notesFolder: join(folder, 'data/pins'),
    });
  });

  it('has a socket in the place of the port, or beside one that is named', async () => {
    const socket = join(folder, 's');
    const { listen } = await load(`${minimal}listen: { socket: s }`);
    expect(listen).toEqual({ host: '127.0.0.1', port: undefined, socket, socketMode: 0o600 });
    const both = `${minimal}listen: { port: 0, socket: s, socketMode: '0660', tls: { certificate: c, key: /k } }`;
    expect((await load(both)).listen).toMatchObject({
      port: 0,
      socket,
      socketMode: 0o660,
      tls: { certificate: join(folder, 'c'), key: '/k' },
    });
  });

  it('is documented by an example that loads', async () => {
    const config = await loadFile(join(packageRoot, 'docs/hsm-bridge.example.yaml'));
    expect(config.keyStores.map(({ region: name }) => name)).toEqual(['us-east-1']);
  });

  const cases: [what: string, text: string, names: RegExp][] = [
    ['a missing home', region(), /home: this setting is needed/],
    ['no Regions', 'home: /h', /regions: this setting is needed/],
    ['an empty list of Regions', 'home: /h\nregions: {}', /regions: name one Region at least/],
    ['a port that is no port', `${minimal}listen: { port: 70000 }`, /listen\.port: /],
    ['a port in quotes', `${minimal}listen: { port: "80" }`, /listen\.port: expected .*, received string/],
    ['a mode without quotes', `${minimal}listen: { socket: /s, socketMode: 0660 }`, /listen\.socketMode: .*in quotes/],
    ['a certificate without a key', `${minimal}listen: { tls: { certificate: c } }`, /listen\.tls\.key: .*needed/],
    [
      'TLS where there is no port',
      `${minimal}listen: { socket: /s, tls: { certificate: c, key: k } }`,
      /listen\.tls: it is for the port/,
    ],
    ['an unknown setting', `${minimal}gateway: 2`, /gateway: there is no such setting/],
    [
      'an unknown setting of a Region',
      `home: /h\n${region('    pin: 1234\n')}`,
      /regions\.us-east-1\.pin: there is no/,
    ],
    [
      'an account without quotes',
      `${minimal}accounts: [000000000000]`,
      /accounts\.0: an account is twelve digits in quotes/,
    ],
    ['an account twice', `${minimal}accounts: ["000000000000", "000000000000"]`, /accounts: an account is named twice/],
    [
      'a default Region that is not served',
      `${minimal}defaultRegion: eu-west-1`,
      /defaultRegion: this Region is not among/,
    ],
    ['a Region that is none', 'home: /h\nregions: { Mars: {} }', /regions\.Mars: a Region has the form/],
    ['a label that is too long', minimal.replace('keys', 'k'.repeat(33)), /regions\.us-east-1\.label: .*32 bytes/],
    ['a number in the environment', `home: /h\n${region('    environment: { A: 1 }\n')}`, /environment\.A: .*quotes/],
    [
      'a key store twice',
      `home: /h\n${region(keyStores('archive', 'archive'))}`,
      /regions\.us-east-1\.keyStores: a name is given twice/,
    ],
    ...['Archive', 'a/b', 'a.b', '../a', '9', `a${'b'.repeat(32)}`].map((name): (typeof cases)[number] => [
      `a key store that is called ${name}`,
      `home: /h\n${region(keyStores(`"${name}"`).replaceAll('pins/"', '"'))}`,
      /keyStores\.0\.name: a name has/,
    ]),
    ['text that is no mapping', 'hello', /a mapping of settings is needed/],
    ['nothing', '', /a mapping of settings is needed/],
    ['broken YAML', 'home: [', /bridge\.yaml: .*line 1/],
    ['a key twice', 'home: /h\nhome: /i', /bridge\.yaml: .*unique.*line 2/],
  ];
  it.each(cases)('refuses %s', async (_what, text, names) => {
    const message = await refusal(() => load(text));
    expect(message.startsWith(`${file}: `)).toBe(true);
    expect(message).toMatch(names);
  });

  it('never repeats a value, which may be a secret in the wrong place', async () => {
    expect(await refusal(() => load(`${minimal}logLevel: my-secret-pin`))).not.toContain('my-secret-pin');
  });

  it('that is not there is named', async () => {
    expect(await refusal(() => loadFile('/nowhere/x.yaml'))).toBe('/nowhere/x.yaml: cannot be read (ENOENT)');
  });
});
