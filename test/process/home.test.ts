// The home against another user of the machine, who got there first: whatever it planted, the daemon says in one line that it will not
// have it, and nothing outside is written or changed. As root the test can be that other user.
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DaemonConfig } from '../../src/config/daemon.js';
import { identityOf } from '../../src/kernel/process-identity.js';
import { prepareHome, prepareSofthsm, secureHome, secureRunFolder } from '../../src/process/home.js';
import { makePlace } from './daemon.js';

const stranger = 65_534;
const root = process.geteuid?.() === 0;

let folder: string;
let home: string;
/** Somebody's file and folder outside, which a planted link names. */
let outside: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-home-'));
  chmodSync(folder, 0o755);
  home = join(folder, 'home');
  outside = join(folder, 'outside');
  mkdirSync(join(outside, 'folder'), { recursive: true });
  writeFileSync(join(outside, 'file'), 'precious');
  for (const name of ['', 'folder', 'file']) chmodSync(join(outside, name), name === 'file' ? 0o644 : 0o755);
});
afterEach(() => {
  process.umask(0o022);
  rmSync(folder, { recursive: true });
});

/** What a start does to its home, up to its first child and with a development Region's token host. */
function start(): void {
  const conf = join(home, 'tokens/us-east-1');
  prepareHome({ home } as DaemonConfig);
  secureRunFolder(home);
  secureHome(home);
  prepareSofthsm({ softhsm: { folder: conf, templatePath: 'softhsm.conf' } } as DaemonConfig['keyStores'][number]);
}

const refusal = (path: string, why: RegExp): object =>
  expect.objectContaining({
    code: 'home-unsafe',
    message: expect.stringMatching(new RegExp(`^${path} .*${why.source}`)) as string,
  }) as object;

function startError(): unknown {
  try {
    start();
    return undefined;
  } catch (error) {
    return error;
  }
}

function expectOutsideUntouched(): void {
  expect(readFileSync(join(outside, 'file'), 'utf8')).toBe('precious');
  expect(statSync(join(outside, 'file')).mode & 0o777).toBe(0o644);
  expect(statSync(join(outside, 'folder')).mode & 0o777).toBe(0o755);
  expect(spawnSync('find', [join(outside, 'folder'), '-mindepth', '1'], { encoding: 'utf8' }).stdout).toBe('');
}

/** Runs a shell's line as the other user. */
function asStranger(line: string): void {
  const { status, stderr } = spawnSync('sh', ['-ec', line], { uid: stranger, gid: stranger, encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
}

const fileNames = [
  'dev.env',
  'credentials',
  'store/hsm-bridge.db',
  'store/hsm-bridge.db-wal',
  'store/hsm-bridge.db-shm',
  'audit/lane-0/000000000001.jsonl',
  'pins/0123456789abcdef.login',
  'run/us-east-1.sock',
  'run/1-2-abc.child',
  'tokens/us-east-1/softhsm2.conf',
  'tokens/us-east-1/user.pin',
];
const folderNames = [
  'store',
  'audit',
  'audit/lane-0',
  'pins',
  'run',
  'tokens',
  'tokens/us-east-1',
  'tokens/us-east-1/objects',
];

describe('a home', () => {
  it('is made with its folders for its user alone, and closed when it was open', () => {
    start();
    for (const name of ['', ...folderNames]) {
      mkdirSync(join(home, name), { recursive: true });
      chmodSync(join(home, name), 0o775);
    }
    for (const name of fileNames) writeFileSync(join(home, name), 'old', { mode: 0o664, flag: 'w' });
    for (const name of fileNames) chmodSync(join(home, name), 0o664);
    writeFileSync(join(home, 'operators-own.yaml'), '');
    chmodSync(join(home, 'operators-own.yaml'), 0o644);
    start();
    for (const name of ['', ...folderNames])
      expect([name, statSync(join(home, name)).mode & 0o777]).toEqual([name, 0o700]);
    for (const name of fileNames) expect([name, statSync(join(home, name)).mode & 0o777]).toEqual([name, 0o600]);
    expect(statSync(join(home, 'operators-own.yaml')).mode & 0o777).toBe(0o644);
  });

  it('keeps the marks of the audit log, which are links that nobody follows, and loses drafts', () => {
    start();
    mkdirSync(join(home, 'audit/lane-0'), { recursive: true });
    mkdirSync(join(home, 'pins'));
    symlinkSync('1234.5678.abcdef', join(home, 'audit/lane-0/lock-000000000001'));
    writeFileSync(join(home, 'pins/x.login'), '{}', { mode: 0o600 });
    // A crash between the two steps of a note.
    linkSync(join(home, 'pins/x.login'), join(home, 'pins/x.login.99.draft'));
    start();
    expect(existsSync(join(home, 'pins/x.login.99.draft'))).toBe(false);
  });

  it('that is a link, or lies where every user may exchange it, is refused', () => {
    symlinkSync(join(outside, 'folder'), home);
    expect(startError()).toEqual(refusal(home, /symbolic link.*name the folder itself/));
    rmSync(home);
    chmodSync(folder, 0o777);
    expect(startError()).toEqual(refusal(folder, /chmod o-w/));
    expect(existsSync(home)).toBe(false);
    // Nor by a link on the way.
    const way = mkdtempSync(join(tmpdir(), 'hsm-bridge-way-'));
    symlinkSync(folder, join(way, 'link'));
    chmodSync(folder, 0o755);
    chmodSync(way, 0o777);
    expect(() => prepareHome({ home: join(way, 'link/home') } as DaemonConfig)).toThrow(/chmod o-w/);
    rmSync(way, { recursive: true });
    chmodSync(folder, 0o1777);
    expect(startError()).toBeUndefined();
    chmodSync(folder, 0o770);
    expect(prepareHome({ home } as DaemonConfig)).toEqual([expect.stringContaining(`its group may change ${folder}`)]);
    expectOutsideUntouched();
  });

  it.each(fileNames)('with a hard link to a file outside as %s is refused', (name) => {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    linkSync(join(outside, 'file'), join(home, name));
    expect(startError()).toEqual(refusal(join(home, name), /another name/));
    expectOutsideUntouched();
  });
});

describe.runIf(root)('a home that another user prepared', () => {
  /** Open to everybody, as an operator may have left it. */
  function openHome(): void {
    mkdirSync(home);
    chmodSync(home, 0o777);
  }

  it.each([...fileNames.map((name) => [name, 'file']), ...folderNames.map((name) => [name, 'folder'])])(
    'with a link as %s (to a %s) is refused',
    (name, kind) => {
      openHome();
      const path = join(home, name);
      mkdirSync(dirname(path), { recursive: true });
      for (let each = dirname(path); each !== folder; each = dirname(each)) chmodSync(each, 0o777);
      asStranger(`ln -s ${join(outside, kind)} ${path}`);
      expect(startError()).toEqual(refusal(path, /symbolic link/));
      expectOutsideUntouched();
    },
  );

  it.each([...fileNames, ...folderNames])('with its own %s is refused', (name) => {
    start();
    for (const each of folderNames) mkdirSync(join(home, each), { recursive: true });
    const path = join(home, name);
    if (fileNames.includes(name)) writeFileSync(path, '', { mode: 0o600 });
    chownSync(path, stranger, stranger);
    expect(startError()).toEqual(refusal(path, /belongs to user 65534, not to user 0/));
  });

  it('or owns is refused by a daemon in one line, before it ends or writes anything', async () => {
    const place = makePlace();
    try {
      mkdirSync(place.home);
      chownSync(place.home, stranger, stranger);
      const owned = place.start();
      expect(await owned.ended).toBe(1);
      expect(owned.errors()).toMatch(/^hsm-bridge: .*home belongs to user 65534, not to user 0.*\n$/);
      chownSync(place.home, 0, 0);
      mkdirSync(join(place.home, 'tokens/us-east-1'), { recursive: true });
      symlinkSync(join(outside, 'file'), join(place.home, 'tokens/us-east-1/softhsm2.conf'));
      const planted = place.start();
      expect(await planted.ended).toBe(1);
      expect(planted.errors()).toMatch(/^hsm-bridge: .*softhsm2\.conf is a symbolic link.*\n$/);
      expectOutsideUntouched();
      rmSync(join(place.home, 'tokens'), { recursive: true });
      // A note that would have it end somebody's process.
      const victim = spawn('sleep', ['60']);
      try {
        const note = join(place.home, 'run', `${identityOf(victim.pid!)}.child`);
        writeFileSync(note, '', { mode: 0o600 });
        chownSync(note, stranger, stranger);
        const deceived = place.start();
        expect(await deceived.ended).toBe(1);
        expect(identityOf(victim.pid!)).toBeDefined();
      } finally {
        victim.kill('SIGKILL');
      }
      expect(place.events()).toEqual([]);
    } finally {
      await place.clean();
    }
  });
});
