// A home that a released version left is served by today's: it opens, verifies, decrypts and describes as it did, and goes on from there.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bareEnvironment, type Profile, Run, TestDaemon } from '../support/daemon.js';
import { exchange, signed } from '../support/raw-http.js';

const released = join(import.meta.dirname, '../fixtures/released');
const versions = readdirSync(released).filter((name) => /^\d+\.\d+\.\d+/.test(name));

/** A call and its answer, as make-released.mjs recorded them. */
interface Call {
  readonly profile: Profile;
  readonly region: string;
  readonly operation: string;
  readonly input: unknown;
  readonly status: number;
  readonly answer: Readonly<Record<string, unknown>> | null;
}

interface Answers {
  readonly looks: readonly Call[];
  readonly revivals: readonly Call[];
}

it('there is one', () => {
  expect(versions).not.toEqual([]);
});

describe.each(versions)('the home that %s left', (version) => {
  const folder = join(released, version);
  const { looks, revivals } = JSON.parse(readFileSync(join(folder, 'answers.json'), 'utf8')) as Answers;
  let daemon: TestDaemon;
  beforeAll(() => {
    daemon = new TestDaemon();
    const how = ['--no-same-owner', '--preserve-permissions', '--strip-components=1'];
    execFileSync('tar', ['-xzf', join(folder, 'home.tar.gz'), '-C', daemon.home, ...how]);
  });
  afterAll(async () => {
    await daemon.clean();
  });

  async function expectSound(): Promise<void> {
    const run = new Run(daemon.home, bareEnvironment(), ['audit', 'verify', '--home', daemon.home]);
    expect(await run.ended, run.output() + run.errors()).toBe(0);
  }

  async function expectAnswer({ profile, region, operation, input, status, answer }: Call): Promise<void> {
    const request = signed({
      endpoint: daemon.endpoint,
      credentials: daemon.credentials(profile),
      region,
      target: `TrentService.${operation}`,
      body: JSON.stringify(input),
    });
    const said = await exchange(daemon.endpoint, request);
    const about = `${operation} ${JSON.stringify(input)}: ${said.text}`;
    expect(said.status, about).toBe(status);
    if (answer === null) expect(said.text).toBe('');
    // A later version may add members to an answer, and find better words for an error.
    else if (status === 200) expect(JSON.parse(said.text), about).toMatchObject(answer);
    else expect(JSON.parse(said.text), about).toMatchObject({ __type: answer['__type'] });
  }

  it('has an audit log that verifies', expectSound);

  it('is served, and answers as it did, after its operator has confirmed the clock', async () => {
    // The home may be years old, and comes from another machine.
    daemon.confirmClock(0);
    await daemon.start();
    for (const call of looks) await expectAnswer(call);
    expect(await daemon.stop()).toBe(0);
    await expectSound();
  });

  it('answers so after another start, with two gateways, and its keys come back to use', async () => {
    await daemon.start({ env: { HSM_BRIDGE_GATEWAYS: '2' } });
    for (const call of [...looks, ...revivals]) await expectAnswer(call);
    expect(await daemon.stop()).toBe(0);
    await expectSound();
  });
});
