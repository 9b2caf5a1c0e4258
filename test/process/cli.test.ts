// The command as a user types it: versions, mistakes, and `doctor` on a real SoftHSM token. One line for each mistake, never a stack.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { softHsm } from '../support/inside.js';
import { makePair } from '../support/certificate.js';
import { makePlace } from './daemon.js';
import { makeTokenStore, startProgram } from './program.js';

const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Run {
  readonly code: number | string;
  readonly output: string;
  readonly errors: string;
}

async function run(words: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Run> {
  const started = startProgram(words, environment, folder);
  const code = await started.ended;
  return { code, output: started.output(), errors: started.errors() };
}

describe('the command line', () => {
  it('knows its version', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(await run(['version'])).toEqual({ code: 0, output: `${version}\n`, errors: '' });
  });

  it.each([
    [['--help'], 0, /dev .*serve .*doctor .*version /s],
    [[], 2, /Usage: hsm-bridge/],
    [['frobnicate'], 2, /^error: unknown command 'frobnicate'\n$/],
    [['serve'], 2, /^error: required option '--config <file>' not specified\n$/],
    [['dev', '--port', '1'], 2, /^error: unknown option '--port'\n$/],
  ])('%j', async (words, code, text) => {
    const result = await run(words);
    expect(result.code).toBe(code);
    expect(result.output + result.errors).toMatch(text);
  });

  it.each([
    [
      'dev',
      ['dev'],
      { HSM_BRIDGE_PORT: 'http' },
      'hsm-bridge: environment: HSM_BRIDGE_PORT: a port is a number from 0 to 65535\n',
    ],
    ['serve', ['serve', '--config', 'none.yaml'], {}, 'hsm-bridge: none.yaml: cannot be read (ENOENT)\n'],
  ])('%s names a wrong setting on one line', async (_what, words, environment, line) => {
    expect(await run(words, environment)).toEqual({ code: 2, output: '', errors: line });
  });

  it('names a home that cannot be made on one line', async () => {
    writeFileSync(join(folder, 'file'), '');
    const { code, errors } = await run(['dev'], { HSM_BRIDGE_HOME: 'file/home' });
    expect(code).toBe(1);
    expect(errors).toMatch(/^hsm-bridge: cannot write to .*\/file\/home: ENOTDIR: [^\n]*\n$/);
  });
});

describe('doctor', () => {
  const home = join(folder, 'home');
  const pinFile = join(folder, 'pin');
  const config = join(folder, 'bridge.yaml');
  const { environment, tool } = makeTokenStore(folder);

  const write = ({ port = 0, label = 'doctor-token', modulePath = softHsm() } = {}): void => {
    writeFileSync(
      config,
      `home: home\nlisten: { port: ${port} }\nadmin: { port: 0 }\nregions:\n  us-east-1:\n    profile: softhsm2\n` +
        `    modulePath: ${modulePath}\n    label: ${label}\n    pinFile: pin\n    environment: { SOFTHSM2_CONF: ${environment.SOFTHSM2_CONF} }\n`,
    );
  };
  const problems = ({ output }: Run): string[] =>
    output.split('\n').filter((line) => !line.startsWith('ok ') && line !== '');
  const doctor = (): Promise<Run> => run(['doctor', '--config', config]);

  beforeAll(() => {
    tool('--slot-index', '0', '--init-token', '--label', 'doctor-token', '--so-pin', '12345678');
  });
  beforeEach(() => {
    rmSync(home, { recursive: true, force: true });
    writeFileSync(pinFile, '1234\n', { mode: 0o600 });
    write();
  });

  it('is content with a sound set-up', async () => {
    const result = await doctor();
    expect(problems(result)).toEqual([]);
    expect(result.code).toBe(0);
    expect(result.errors).toBe('');
    for (const subject of [
      'Node.js',
      'pkcs11js',
      'configuration',
      'home',
      'module',
      'token',
      'PIN file',
      'port',
      'admin port',
    ]) {
      expect(result.output).toMatch(new RegExp(`^ok {7}${subject}`, 'm'));
    }
    expect(result.output).toContain('token of us-east-1 (doctor-token)');
    // It makes nothing.
    expect(existsSync(home)).toBe(false);
  });

  it('is content with development mode before its first start', async () => {
    const result = await run(['doctor'], { HSM_BRIDGE_HOME: home, HSM_BRIDGE_PORT: '0', HSM_BRIDGE_ADMIN_PORT: '0' });
    expect(problems(result)).toEqual([]);
    expect(result.code).toBe(0);
  });

  const expectProblem = async (subject: string, remedy: RegExp): Promise<void> => {
    const result = await doctor();
    expect(result.code).toBe(1);
    expect(problems(result)).toEqual([expect.stringMatching(new RegExp(`^problem {2}${subject}`)) as string]);
    expect(problems(result)[0]).toMatch(remedy);
    expect(result.errors).toBe('');
  };

  it('names a setting that is wrong', async () => {
    writeFileSync(config, 'home: 1\n');
    await expectProblem('configuration', /home: .*docs\/configuration\.md/);
  });

  it('names a module that is missing', async () => {
    write({ modulePath: '/nowhere/lib.so' });
    await expectProblem('module of us-east-1', /none at \/nowhere\/lib\.so: set regions\.us-east-1\.modulePath/);
  });

  it('names a module that is none', async () => {
    write({ modulePath: join(process.cwd(), 'package.json') });
    await expectProblem('token of us-east-1', /package\.json does not work: .*invalid ELF header|file too short/);
  });

  it('looks at the token with the environment its host will have', async () => {
    // SoftHSM looks for its configuration in HOME when no variable names it.
    const folderOfUser = join(folder, 'user');
    mkdirSync(join(folderOfUser, '.config/softhsm2'), { recursive: true });
    copyFileSync(environment.SOFTHSM2_CONF, join(folderOfUser, '.config/softhsm2/softhsm2.conf'));
    writeFileSync(config, readFileSync(config, 'utf8').replace(/^ *environment:.*\n/m, ''));
    const result = await run(['doctor', '--config', config], { HOME: folderOfUser });
    expect(problems(result)).toEqual([]);
    expect(result.output).toContain('token of us-east-1 (doctor-token)');
  });

  it('names a profile that the token host would refuse', async () => {
    const profile = JSON.parse(readFileSync('native-config/softhsm2.json', 'utf8')) as object;
    writeFileSync(join(folder, 'vendor.json'), JSON.stringify({ ...profile, gcm: { strategy: 'rot13' } }));
    writeFileSync(config, readFileSync(config, 'utf8').replace('profile: softhsm2', 'profile: ./vendor.json'));
    await expectProblem('module of us-east-1', /vendor\.json.*gcm\.strategy.*correct regions\.us-east-1\.profile/);
  });

  it('names a token that is not initialised', async () => {
    write({ label: 'no-such-token' });
    await expectProblem('token of us-east-1', /has tokens doctor-token, none labelled "no-such-token": .*--init-token/);
  });

  it.each([
    ['is readable by others', () => chmodSync(pinFile, 0o644), /others may read it: type chmod 600/],
    ['is missing', () => rmSync(pinFile), /there is no .*\/pin: write the user PIN into it/],
    ['is empty', () => writeFileSync(pinFile, ''), /is empty/],
  ])('says that the PIN file %s', async (_what, spoil, remedy) => {
    spoil();
    await expectProblem('PIN file of us-east-1', remedy);
  });

  it('says that others may look into the home', async () => {
    mkdirSync(home, { mode: 0o755 });
    await expectProblem('home', /type chmod 700/);
  });

  it('says that a port is in use', async () => {
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', () => resolve()));
    const { port } = squatter.address() as AddressInfo;
    write({ port });
    await expectProblem(`port ${port}`, /EADDRINUSE.*free it or choose another \(listen\.port/);
    squatter.close();
  });

  it('looks at the TLS files and at the place of the socket', async () => {
    makePair(folder, 'tls', 1);
    const tls = 'port: 0, tls: { certificate: tls.crt, key: tls.key }, socket: s.sock';
    writeFileSync(config, readFileSync(config, 'utf8').replace('port: 0', tls));
    const result = await doctor();
    expect(problems(result)).toEqual([]);
    expect(result.output).toMatch(/^ok {7}TLS certificate .*tls\.crt$/m);
    expect(result.output).toMatch(/^ok {7}socket .*s\.sock$/m);
    chmodSync(join(folder, 'tls.key'), 0o644);
    await expectProblem('TLS certificate', /others may read the TLS key .*: type chmod 600/);
    chmodSync(join(folder, 'tls.key'), 0o600);
    writeFileSync(join(folder, 's.sock'), '');
    await expectProblem('socket', /s\.sock is no socket/);
  });

  it('says that a daemon runs, and holds its ports against nobody', async () => {
    const place = makePlace();
    place.start();
    const env = await place.ready();
    const result = await run(['doctor'], {
      HSM_BRIDGE_HOME: place.home,
      HSM_BRIDGE_PORT: new URL(env['AWS_ENDPOINT_URL_KMS']!).port,
    });
    expect(problems(result)).toEqual([]);
    expect(result.output).toContain('configuration (a daemon runs with it)');
    await place.clean();
  });
});
