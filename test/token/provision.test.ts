// A token made by its host: PINs first, and finished by the next start wherever the last one was killed.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { profilePath, SoftStore, tokenLabel } from './soft-token.js';

let store: SoftStore;

beforeEach(() => {
  store = new SoftStore();
  rmSync(store.pinFile);
});

afterEach(async () => {
  await store.remove();
});

const provisioned = (): { provision: { soPinFile: string } } => ({ provision: { soPinFile: store.soPinFile } });

async function checkProvisioned(): Promise<void> {
  await store.start(provisioned()).ready();
  for (const file of [store.pinFile, store.soPinFile]) {
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).toMatch(/^[0-9a-f]{32}\n$/);
  }
  expect(readFileSync(store.pinFile)).not.toEqual(readFileSync(store.soPinFile));
  const slots = store.tool('--list-token-slots');
  expect(slots.match(/token label\s+: test/g)).toHaveLength(1);
  const userPin = readFileSync(store.pinFile, 'utf8').trim();
  store.tool('--token-label', tokenLabel, '--login', '--pin', userPin, '--list-objects');
  const soPin = readFileSync(store.soPinFile, 'utf8').trim();
  // All a security officer can do with pkcs11-tool is to set the user PIN: to the one it has.
  const asOfficer = ['--token-label', tokenLabel, '--login', '--login-type', 'so', '--so-pin', soPin];
  store.tool(...asOfficer, '--init-pin', '--pin', userPin);
}

/** Performs the first `steps` steps of a provisioning in a process that then kills itself. */
async function killedAfter(steps: number): Promise<void> {
  const child = fork(resolve('test/token/provision-entry.mjs'), [], {
    env: { PATH: process.env['PATH'], SOFTHSM2_CONF: store.conf },
    execArgv: [],
  });
  const { pinFile, soPinFile } = store;
  const plan = { tokenLabel, pinFile, soPinFile, notesFolder: store.notesFolder, region: 'eu-test-1' };
  child.send({ steps, plan, profilePath });
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
}

describe('provisioning', () => {
  it('makes a token with PINs it drew', async () => {
    await checkProvisioned();
  });

  it('does nothing the second time', async () => {
    const first = await store.start(provisioned()).ready();
    const before = [first.messages[0], readFileSync(store.pinFile, 'utf8'), readFileSync(store.soPinFile, 'utf8')];
    await first.kill();
    const second = await store.start(provisioned()).ready();
    expect([second.messages[0], readFileSync(store.pinFile, 'utf8'), readFileSync(store.soPinFile, 'utf8')]).toEqual(
      before,
    );
  });

  it.each([0, 1, 2, 3, 4])('killed after step %i is finished by the next start', async (steps) => {
    await killedAfter(steps);
    expect(existsSync(store.soPinFile)).toBe(steps >= 1);
    expect(existsSync(store.pinFile)).toBe(steps >= 2);
    await checkProvisioned();
  });

  it('killed at any moment is finished by the next start', async () => {
    // Moments spread over the time from the fork to `ready`; where each falls does not matter.
    for (const moment of [150, 180, 210, 240, 280, 350]) {
      const fresh = new SoftStore();
      rmSync(fresh.pinFile);
      try {
        const host = fresh.start({ provision: { soPinFile: fresh.soPinFile } });
        await new Promise((wait) => setTimeout(wait, moment));
        await host.kill();
        const next = await fresh.start({ provision: { soPinFile: fresh.soPinFile } }).ready();
        expect(next.messages[0]).toMatchObject({ type: 'ready' });
        expect(fresh.tool('--list-token-slots').match(/token label\s+: test/g)).toHaveLength(1);
      } finally {
        await fresh.remove();
      }
    }
  });

  it('keeps PINs that are there', async () => {
    writeFileSync(store.pinFile, 'my-own-pin\n', { mode: 0o600 });
    await store.start(provisioned()).ready();
    expect(readFileSync(store.pinFile, 'utf8')).toBe('my-own-pin\n');
  });

  it('sets the user PIN of a token that has none', async () => {
    store.initialise(false);
    await store.start(provisioned()).ready();
  });

  it('never makes a token anew whose PIN file is lost', async () => {
    store.initialise();
    const said = await store.start(provisioned()).said();
    expect(said).toMatchObject({ type: 'fatal', code: 'pin-file' });
    store.asUser('--list-objects');
  });

  it('refuses a label that is too long', async () => {
    const said = await store.start({ ...provisioned(), tokenLabel: 'ä'.repeat(17) }).said();
    expect(said).toMatchObject({ type: 'fatal', code: 'configuration' });
  });
});
