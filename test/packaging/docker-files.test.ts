// The files of docker/, read as an engine would read them: what they promise about privileges, ports and origins is written in them.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseCopy, parseDockerfile, parseExec } from './dockerfile.js';

const stages = parseDockerfile(readFileSync('docker/Dockerfile', 'utf8'));
const last = stages.at(-1)!;
const of = (keyword: string) => stages.flatMap(({ instructions }) => instructions).filter((i) => i.keyword === keyword);
const inLast = (keyword: string): string | undefined => last.instructions.findLast((i) => i.keyword === keyword)?.text;

test('every image has an exact version, and its Node is one that package.json allows', () => {
  for (const { image } of stages)
    expect(image).toMatch(/^(node:\d+\.\d+\.\d+-bookworm-slim|debian:bookworm-\d{8}-slim)$/);
  const [major = 0, minor = 0] = /^node:(\d+)\.(\d+)/.exec(stages[0]!.image)!.slice(1).map(Number);
  expect(JSON.parse(readFileSync('package.json', 'utf8'))).toMatchObject({ engines: { node: '>=20.19' } });
  expect(major > 20 || (major === 20 && minor >= 19)).toBe(true);
});

test('the daemon is no root, its data is a volume, and it is started and asked without a shell', () => {
  expect(inLast('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  expect(last.instructions.findLastIndex(({ keyword }) => keyword === 'USER')).toBeGreaterThan(
    last.instructions.findLastIndex(({ keyword }) => keyword === 'RUN'),
  );
  expect(parseExec(inLast('VOLUME')!)).toEqual(['/var/lib/hsm-bridge']);
  expect(inLast('ENV')).toContain('HSM_BRIDGE_HOME=/var/lib/hsm-bridge');
  expect(parseExec(inLast('ENTRYPOINT')!)).toEqual(['node', '/opt/hsm-bridge/dist/main.js']);
  expect(parseExec(inLast('CMD')!)).toEqual(['dev']);
  expect(parseExec(inLast('HEALTHCHECK')!)[0]).toBe('node');
  expect(inLast('STOPSIGNAL')).toBe('SIGTERM');
});

test('what is copied exists, is let through to the build, and comes from a stage that there is', () => {
  const passed = readFileSync('docker/Dockerfile.dockerignore', 'utf8').split('\n');
  const names = stages.map(({ name }) => name);
  expect(passed).toContain('*');
  for (const { from, sources } of of('COPY').map(parseCopy)) {
    if (from !== undefined) expect(names).toContain(from);
    else
      for (const source of sources)
        expect([existsSync(source), passed.includes(`!${source}`)], source).toEqual([true, true]);
  }
  expect(of('ADD')).toEqual([]);
});

test.each(of('RUN').map(({ text }) => text))('the shell understands %s', (text) => {
  const { status, stderr } = spawnSync('bash', ['-n', '-c', text], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

test('compose publishes to this machine alone and gives the container nothing that it can do without', () => {
  const file = parse(readFileSync('docker/compose.yaml', 'utf8')) as {
    services: Record<string, Record<string, unknown>>;
    volumes: Record<string, unknown>;
  };
  expect(Object.keys(file.services)).toEqual(['hsm-bridge']);
  const service = file.services['hsm-bridge']!;
  expect(service).toMatchObject({
    build: { context: '..', dockerfile: 'docker/Dockerfile' },
    read_only: true,
    cap_drop: ['ALL'],
    security_opt: ['no-new-privileges:true'],
    volumes: ['home:/var/lib/hsm-bridge'],
  });
  for (const published of service['ports'] as string[]) expect(published).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  for (const broad of ['privileged', 'cap_add', 'network_mode', 'pid', 'user', 'devices'])
    expect(service).not.toHaveProperty(broad);
  expect(Object.keys(file.volumes)).toEqual(['home']);
});
