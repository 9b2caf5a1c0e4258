// scripts/setup in copies of this project: it does what is missing, does nothing twice, and says in one line what only its reader can give.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

/** What a set-up reads, but for node_modules, and for the sources: one file is built as another is, and sooner. */
const parts = [
  '.npmrc',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts',
  'native-config',
];
const nobody = 65_534;

const place = mkdtempSync(join(tmpdir(), 'hsm-bridge-setup-'));
const project = join(place, 'project');
const emptyPath = join(place, 'path');
const home = join(place, 'home');
const source = join(project, 'src/main.ts');
const content = 'export const right = 1;\n';

beforeAll(() => {
  chmodSync(place, 0o755);
  mkdirSync(home);
  mkdirSync(project);
  for (const part of parts) cpSync(part, join(project, part), { recursive: true });
  mkdirSync(join(project, 'src'));
  writeFileSync(source, content);
  // Links to files, not to the folder: what the copy's set-up removes is not removed here.
  const copied = spawnSync('cp', ['-al', resolve('node_modules'), project]);
  if (copied.status !== 0)
    cpSync('node_modules', join(project, 'node_modules'), { recursive: true, verbatimSymlinks: true });
  const first = setup();
  expect(first.status, first.output).toBe(0);

  mkdirSync(emptyPath);
  for (const tool of ['bash', 'cat', 'dirname', 'env', 'find', 'flock', 'id', 'mkdir', 'node', 'sed', 'touch']) {
    const found = spawnSync('bash', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).stdout.trim();
    symlinkSync(tool === 'node' ? process.execPath : found, join(emptyPath, tool));
  }
}, 300_000);

afterAll(() => rmSync(place, { recursive: true }));

beforeEach(() => {
  // A machine without SoftHSMv2 is one that has it in none of the profile's places.
  cpSync('native-config', join(project, 'native-config'), { recursive: true });
  rmSync(join(project, '.setup/softhsm'), { recursive: true, force: true });
});

function setup(options: { env?: NodeJS.ProcessEnv; user?: number | undefined } = {}) {
  const { env = {}, user } = options;
  const environment = { PATH: process.env['PATH'], HOME: home, ...env };
  const identity = user === undefined ? {} : { uid: user, gid: user };
  const run = spawnSync(join(project, 'scripts/setup'), {
    encoding: 'utf8',
    env: environment,
    cwd: '/',
    ...identity,
  });
  return { status: run.status, output: run.stdout + run.stderr };
}

function removeSoftHsmFromProfile(): void {
  const file = join(project, 'native-config/softhsm2.json');
  const profile = JSON.parse(readFileSync(file, 'utf8')) as { modulePaths: { value: string[] } };
  profile.modulePaths.value = profile.modulePaths.value.filter((path) => path.startsWith('../.setup/'));
  expect(profile.modulePaths.value).toHaveLength(1);
  writeFileSync(file, JSON.stringify(profile));
}

test('a second run has nothing to do', () => {
  expect(setup()).toEqual({ status: 0, output: 'setup: ready\n' });
});

test('a changed source is built again, and a failed build is not taken for a finished one', () => {
  writeFileSync(source, `${content}\nexport const wrong: number = 'text';\n`);
  for (const attempt of ['first', 'second']) {
    const { status, output } = setup();
    expect([status, output.includes('TS2322'), output.endsWith('setup: the build failed (above)\n')], attempt).toEqual([
      1,
      true,
      true,
    ]);
  }
  writeFileSync(source, content);
  expect(setup()).toEqual({ status: 0, output: 'setup: building\nsetup: ready\n' });
});

test('without SoftHSMv2 and without a way to fetch it, one line says what to type', () => {
  removeSoftHsmFromProfile();
  expect(setup({ env: { PATH: emptyPath } })).toEqual({
    status: 3,
    output: 'setup: SoftHSMv2 is missing and could not be fetched: apt-get install softhsm2\n',
  });
});

test('without a compiler, one line says what to type', () => {
  const stamp = join(project, 'node_modules/.setup-stamp');
  const stamped = readFileSync(stamp);
  // Not written into: the file may be the original's, under a second name.
  rmSync(stamp);
  expect(setup({ env: { PATH: emptyPath } })).toEqual({
    status: 3,
    output:
      'setup: pkcs11js is compiled at installation and needs python3 make g++: apt-get install python3 make g++\n',
  });
  writeFileSync(stamp, stamped);
});

test('a Node that is too old, and none at all, are named', () => {
  const old = join(place, 'old');
  cpSync(emptyPath, old, { recursive: true, verbatimSymlinks: true });
  rmSync(join(old, 'node'));
  expect(setup({ env: { PATH: old } }).output).toBe(
    'setup: Node.js 20.19 or newer is needed: install it from https://nodejs.org and run this again\n',
  );
  writeFileSync(join(old, 'node'), '#!/bin/sh\nif [ "$1" = --version ]; then echo v18.20.4; else exit 1; fi\n', {
    mode: 0o755,
  });
  const { status, output } = setup({ env: { PATH: old } });
  expect(status).toBe(3);
  expect(output).toMatch(/^setup: Node\.js 20\.19 or newer is needed, and this is v18\.20\.4: .*\n$/);
});

test('who is not root gets SoftHSMv2 unpacked into the project, and it loads', () => {
  removeSoftHsmFromProfile();
  const user = process.getuid?.() === 0 ? nobody : undefined;
  if (user !== undefined) own(user);
  const { status, output } = setup({ user });
  expect(output).toBe("setup: unpacking SoftHSMv2 from Debian's packages into .setup/softhsm\nsetup: ready\n");
  expect(status).toBe(0);
  const module = join(project, '.setup/softhsm/usr/lib/softhsm/libsofthsm2.so');
  const script = `
    const library = new (require('pkcs11js').PKCS11)();
    library.load(process.argv[1]);
    library.C_Initialize();
    console.log(library.C_GetInfo().manufacturerID.trim());
    library.C_Finalize();`;
  const conf = join(home, 'softhsm2.conf');
  writeFileSync(conf, `directories.tokendir = ${home}\n`);
  const env = { PATH: process.env['PATH'], SOFTHSM2_CONF: conf };
  const identity = user === undefined ? {} : { uid: user, gid: user };
  const look = spawnSync(process.execPath, ['-e', script, module], {
    cwd: project,
    encoding: 'utf8',
    env,
    ...identity,
  });
  expect(look.stderr).toBe('');
  expect(look.stdout).toBe('SoftHSM\n');
  expect(setup({ user })).toEqual({ status: 0, output: 'setup: ready\n' });
});

test('npx runs the command from a checkout, without a registry', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  const env = { PATH: process.env['PATH'], HOME: home, npm_config_offline: 'true' };
  const run = spawnSync('npx', ['hsm-bridge', 'version'], { encoding: 'utf8', env });
  expect(run.stderr).toBe('');
  expect(run.stdout).toBe(`${version}\n`);
});

test('the lock file names versions and checksums, and no address to fetch them from', () => {
  const lock = readFileSync('package-lock.json', 'utf8');
  const { packages } = JSON.parse(lock) as {
    packages: Record<string, { resolved?: string; integrity?: string; link?: boolean }>;
  };
  const installed = Object.entries(packages).filter(([name]) => name !== '');
  expect(installed.length).toBeGreaterThan(100);
  expect(installed.filter(([, entry]) => entry.resolved !== undefined || entry.integrity === undefined)).toEqual([]);
});

/** Hands the copy to a user, but for node_modules, whose files are this project's own under second names. */
function own(user: number): void {
  chownSync(home, user, user);
  chownSync(project, user, user);
  for (const part of ['.setup', 'dist']) {
    chownSync(join(project, part), user, user);
    for (const entry of readdirSync(join(project, part), { recursive: true, withFileTypes: true })) {
      if (!entry.isSymbolicLink()) chownSync(join(entry.parentPath, entry.name), user, user);
    }
  }
}
