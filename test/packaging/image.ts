// Carries out a Dockerfile's steps in clean root file systems, as a container engine would: each stage in a root of its own, each step in
// namespaces of its own that end all it started. Needs root, and mmdebstrap for the root file system.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { type Instruction, parseCopy, parseEnv, parseExec, type Stage } from './dockerfile.js';

export interface Image {
  /** The last stage's root file system, on this machine's disk. */
  readonly root: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly folder: string;
  /** `10001:10001` */
  readonly user: string;
  readonly volumes: readonly string[];
  readonly command: readonly string[];
  readonly health: readonly string[];
}

export interface Started {
  readonly child: ChildProcess;
  /** All that it wrote, on both streams. */
  readonly output: () => string;
  readonly stdout: () => string;
  readonly ended: Promise<number | string>;
  /** The process that was asked for, as this machine numbers it. */
  readonly pid: () => number | undefined;
}

interface Building {
  readonly root: string;
  environment: Record<string, string>;
  folder: string;
  readonly last: Map<string, string>;
}

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const certificates = '/etc/ssl/certs/ca-certificates.crt';

/** `context`: the folder that COPY reads. Everything is made in a new folder, which `remove` takes away. */
export async function makeImage(
  stages: readonly Stage[],
  context: string,
): Promise<{ image: Image; remove: () => Promise<void> }> {
  if (process.getuid?.() !== 0) throw new Error('only root can make a root file system: run the tests as root');
  const place = mkdtempSync(join(tmpdir(), 'hsm-bridge-image-'));
  const remove = (): Promise<void> => rm(place, { recursive: true, force: true });
  try {
    const base = join(place, 'base');
    await makeBase(base);
    const roots: string[] = [];
    for (const [index, stage] of stages.entries()) {
      const root = join(place, `stage-${index}`);
      // Linked, not copied: packages replace files and do not write into them. What is locked or written into each root has for itself.
      await run('cp', ['-al', base, root]);
      for (const own of ['etc', 'var']) {
        await rm(join(root, own), { recursive: true });
        await run('cp', ['-a', join(base, own), join(root, own)]);
      }
      if (stage.image.startsWith('node:')) await addNode(root);
      roots.push(root);
    }
    // All at once, as an engine builds them: what copies from another stage waits for it there.
    const built = new Map<string, Promise<Building>>();
    for (const [index, stage] of stages.entries())
      built.set(stage.name ?? String(index), makeStage(stage, roots[index]!, built, context));
    // Also of one that failed the others' steps end before their roots are taken away.
    const outcomes = await Promise.allSettled(built.values());
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    const last = outcomes.findLast((outcome) => outcome.status === 'fulfilled');
    if (last === undefined) throw new Error('the Dockerfile has no stage');
    return { image: imageOf(last.value), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Starts a program of the image as its user, without any privilege, on a read-only root: what docker/compose.yaml asks for. */
export function startInImage(
  image: Image,
  words: readonly string[],
  volume: string,
  environment: Readonly<Record<string, string>>,
): Started {
  const [uid = '', gid = uid] = image.user.split(':');
  // The signal that ends it with `unshare` would be lost with the privileges, hence --pdeathsig.
  const script = `
    set -e
    mount --bind "$1" "$1"
    mount -o remount,bind,ro "$1"
    mount -t tmpfs -o mode=1777,size=64m tmpfs "$1/tmp"
    mount --bind "$2" "$1$3"
    mount --rbind /dev "$1/dev"
    mount -t proc proc "$1/proc"
    exec chroot "$1" setpriv --reuid="$4" --regid="$5" --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs --pdeathsig=keep \
      env -i -C "$6" "\${@:7}"`;
  const variables = { PATH: path, ...image.environment, ...environment };
  const settings = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const mounts = [image.root, volume, image.volumes[0] ?? '', uid, gid, image.folder];
  return start(isolated('bash', ['-c', script, 'image', ...mounts, ...settings, ...words]));
}

/** A new volume takes over the content, the owner and the mode that the image has at its place. */
export async function copyVolume({ root, volumes }: Image, folder: string): Promise<void> {
  await run('cp', ['-aT', join(root, volumes[0] ?? ''), folder]);
}

function imageOf({ root, environment, folder, last }: Building): Image {
  const asked = (keyword: string): string => last.get(keyword) ?? '';
  return {
    root,
    environment,
    folder,
    user: asked('USER'),
    volumes: parseExec(asked('VOLUME')),
    command: [...parseExec(asked('ENTRYPOINT')), ...parseExec(asked('CMD'))],
    health: parseExec(asked('HEALTHCHECK')),
  };
}

async function makeStage(
  stage: Stage,
  root: string,
  built: ReadonlyMap<string, Promise<Building>>,
  context: string,
): Promise<Building> {
  const building: Building = { root, environment: {}, folder: '/', last: new Map() };
  for (const instruction of stage.instructions) {
    building.last.set(instruction.keyword, instruction.text);
    await carryOut(instruction, building, built, context);
  }
  return building;
}

async function carryOut(
  instruction: Instruction,
  building: Building,
  built: ReadonlyMap<string, Promise<Building>>,
  context: string,
): Promise<void> {
  switch (instruction.keyword) {
    case 'RUN':
      return runInRoot(building, instruction.text);
    case 'COPY': {
      const { from, sources, target } = parseCopy(instruction);
      const source = from === undefined ? context : (await built.get(from))?.root;
      if (source === undefined) throw new Error(`there is no stage ${from ?? ''}`);
      const into = join(building.root, resolve(building.folder, target));
      const many = target.endsWith('/');
      mkdirSync(many ? into : dirname(into), { recursive: true });
      for (const name of sources) {
        const to = many ? join(into, basename(name)) : into;
        await copy(join(source, name), to);
      }
      return;
    }
    case 'WORKDIR':
      building.folder = instruction.text;
      mkdirSync(join(building.root, building.folder), { recursive: true });
      return;
    case 'ENV':
      building.environment = { ...building.environment, ...parseEnv(instruction) };
      return;
    case 'USER':
    case 'VOLUME':
    case 'EXPOSE':
    case 'STOPSIGNAL':
    case 'HEALTHCHECK':
    case 'ENTRYPOINT':
    case 'CMD':
      return;
    default:
      throw new Error(`no meaning is known here for ${instruction.keyword}`);
  }
}

async function runInRoot({ root, environment, folder }: Building, command: string): Promise<void> {
  const script = `
    set -e
    mount --rbind /dev "$1/dev"
    mount -t proc proc "$1/proc"
    mkdir -p "$1/root/.npm" "$2"
    mount --bind "$2" "$1/root/.npm"
    exec chroot "$1" env -i -C "$3" "\${@:4}"`;
  // A download that scripts/setup has made already is not made again.
  const cache = (await run('npm', ['config', 'get', 'cache'])).trim();
  const machine = { NODE_EXTRA_CA_CERTS: certificates, npm_config_prefer_offline: 'true', HOME: '/root' };
  const variables = { PATH: path, DEBIAN_FRONTEND: 'noninteractive', ...machine, ...environment };
  const settings = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const words = [root, cache, folder, ...settings, '/bin/sh', '-c', command];
  await finish(start(isolated('bash', ['-c', script, 'step', ...words])), command);
}

/** A small Debian root that reaches what this machine reaches: its mirror, its name resolution, its certificates. */
async function makeBase(root: string): Promise<void> {
  // Nothing here has to survive a power failure.
  const words = ['--mode=root', '--variant=minbase', '--dpkgopt=force-unsafe-io', 'bookworm', root, ...mirror()];
  await finish(start(isolated('mmdebstrap', words)), 'mmdebstrap');
  for (const file of ['/etc/resolv.conf', '/etc/hosts', certificates]) {
    if (!existsSync(file)) continue;
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), readFileSync(file));
  }
  for (const name of readdirSync('/etc/apt/apt.conf.d')) {
    const settings = readFileSync(join('/etc/apt/apt.conf.d', name), 'utf8');
    if (settings.startsWith('Acquire::')) writeFileSync(join(root, 'etc/apt/apt.conf.d', name), settings);
  }
}

/** Where this machine gets Debian's packages; without an answer, mmdebstrap has its own. */
function mirror(): string[] {
  const folder = '/etc/apt/sources.list.d';
  const lists = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  const texts = ['/etc/apt/sources.list', ...lists]
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'utf8'));
  const found = /^(?:URIs:|deb )\s*(https?:\/\/\S+\/debian)\/?(?:\s|$)/m.exec(texts.join('\n'));
  return found?.[1] === undefined ? [] : [found[1]];
}

/** This machine's Node, where the official image has its own. */
async function addNode(root: string): Promise<void> {
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  for (const part of ['lib/node_modules/npm', 'include/node']) {
    if (!existsSync(join(prefix, part))) continue;
    mkdirSync(dirname(join(root, 'usr/local', part)), { recursive: true });
    await copy(join(prefix, part), join(root, 'usr/local', part));
  }
  await copy(realpathSync(process.execPath), join(root, 'usr/local/bin/node'));
  await run('ln', ['-s', '../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm')]);
}

/** Mounts and processes of its own: nothing is left of either when it ends. */
function isolated(program: string, words: readonly string[]): [string, string[]] {
  // Inside a chroot the mounts cannot be made private, and need not be.
  const chroot = !readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === '/');
  const propagation = chroot ? ['--propagation', 'unchanged'] : [];
  return ['unshare', ['--mount', ...propagation, '--pid', '--fork', '--kill-child', '--', program, ...words]];
}

function start([program, words]: [string, string[]]): Started {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | string>((done) => {
    child.on('error', (error) => done(error.message));
    child.on('close', (code, signal) => done(code ?? signal ?? 'unknown'));
  });
  const pid = (): number | undefined => {
    const file = `/proc/${child.pid ?? 0}/task/${child.pid ?? 0}/children`;
    const [first] = existsSync(file) ? readFileSync(file, 'utf8').split(' ') : [];
    return first === undefined || first === '' ? undefined : Number(first);
  };
  return { child, output: () => output, stdout: () => stdout, ended, pid };
}

/** What it printed: warnings, which go to stderr, are no part of it. */
async function finish(started: Started, what: string): Promise<string> {
  const code = await started.ended;
  if (code !== 0) throw new Error(`${what}: ${code}\n${started.output().slice(-4000)}`);
  return started.stdout();
}

/** As COPY does: a folder's content goes into the folder of that name, and everything belongs to root. */
async function copy(from: string, to: string): Promise<void> {
  await run('cp', ['-RT', '--preserve=mode', from, to]);
}

function run(program: string, words: string[]): Promise<string> {
  return finish(start([program, words]), program);
}
