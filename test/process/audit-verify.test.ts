// `hsm-bridge audit verify` as an auditor types it: exit codes, and what goes to which stream.
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeLane } from '../support/handmade-lane.js';
import { startProgram } from './program.js';

const folder = mkdtempSync(join(tmpdir(), 'hsm-bridge-verify-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function run(words: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  const started = startProgram(['audit', 'verify', ...words], environment, folder);
  const code = await started.ended;
  return { code, output: started.output(), errors: started.errors() };
}

beforeAll(() => {
  makeLane(join(folder, '.hsm-bridge'));
  const { paths } = makeLane(join(folder, 'damaged'), { lane: 3 });
  appendFileSync(paths[0]!, 'x\n');
  makeLane(join(folder, 'damaged'), { lane: 4 });
  makeLane(join(folder, 'emptied'));
  const emptied = makeLane(join(folder, 'emptied'), { lane: 1 });
  for (const name of readdirSync(emptied.folder)) rmSync(join(emptied.folder, name));
  mkdirSync(join(folder, 'empty/audit'), { recursive: true });
  writeFileSync(join(folder, 'file'), '');
  mkdirSync(join(folder, 'linked'));
  symlinkSync(join(folder, '.hsm-bridge/audit'), join(folder, 'linked/audit'));
});

describe('hsm-bridge audit verify', () => {
  it.each<[string, readonly string[], NodeJS.ProcessEnv]>([
    ['the home that development mode uses', [], {}],
    ['a home', ['--home', '.hsm-bridge'], { HSM_BRIDGE_HOME: 'damaged' }],
  ])('finds %s sound', async (_, words, environment) => {
    const { code, output, errors } = await run(words, environment);
    expect(output).toMatch(/^lane 0: sound: 3 files, 9 records that hold, .*\nthe audit log is sound\n/s);
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
  });

  it('says where a log is damaged, and what holds', async () => {
    const { code, output, errors } = await run(['--home', 'damaged']);
    expect(output).toMatch(
      /^lane 3: damaged: 3 files, 3 records .*\n {2}DAMAGE {2}000000000001\.jsonl line 4: .*^lane 4: sound: /ms,
    );
    expect({ code, errors }).toEqual({ code: 1, errors: '' });
    const json = await run(['--home', 'damaged', '--json']);
    expect(JSON.parse(json.output)).toMatchObject({
      version: 1,
      verdict: 'damaged',
      lanes: [
        {
          lane: 3,
          state: 'damaged',
          damage: { file: '000000000001.jsonl', line: 4, reason: 'not a line of an audit log' },
        },
        { lane: 4, state: 'sound', damage: null },
      ],
      notes: ['lanes are missing: 0, 1, 2'],
    });
    expect({ code: json.code, errors: json.errors }).toEqual({ code: 1, errors: '' });
  });

  it('finds a lane damaged whose folder was emptied', async () => {
    const { code, output, errors } = await run(['--home', 'emptied']);
    expect(output).toMatch(
      /^lane 0: sound: .*^lane 1: damaged: 0 files, .*\n {2}DAMAGE {2}its folder is empty.*the audit log is damaged\n$/ms,
    );
    expect({ code, errors }).toEqual({ code: 1, errors: '' });
  });

  it.each([
    ['a home that is not there', ['--home', 'none'], /none\/audit cannot be read \(ENOENT\)$/],
    ['a home that is no folder', ['--home', 'file'], /file\/audit cannot be read \(ENOTDIR\)$/],
    ['a home without a log', ['--home', 'empty'], /there is no audit log in .*empty\/audit$/],
    ['a link to a log', ['--home', 'linked'], /linked\/audit cannot be read \(ELOOP\)$/],
  ])('could not look: %s', async (_, words, line) => {
    const plain = await run(words);
    expect(plain).toMatchObject({ code: 2, output: '' });
    expect(plain.errors).toMatch(/^hsm-bridge: [^\n]+\n$/);
    expect(plain.errors.trimEnd()).toMatch(line);
  });

  it('says so in JSON too', async () => {
    const { code, output, errors } = await run(['--home', 'none', '--json']);
    const error = 'none/audit cannot be read (ENOENT)';
    expect({ code, errors }).toEqual({ code: 2, errors: `hsm-bridge: ${error}\n` });
    expect(JSON.parse(output)).toEqual({ version: 1, verdict: 'unreadable', error, lanes: [], notes: [] });
  });

  it.each([[['--hom', 'x']], [['somewhere']]])('takes no %j', async (words) => {
    expect((await run(words)).code).toBe(2);
  });
});
