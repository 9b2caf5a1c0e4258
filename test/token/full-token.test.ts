// A SoftHSMv2 token whose disk is full: what needs no room goes on in the same process, and a key that was not made is known not to be there.
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NothingMade } from '../../src/ports/token.js';
import type { AccountToken } from './one-account.js';
import { clientOf, SoftStore, type Host } from './soft-token.js';

const ckaId = Buffer.alloc(16, 1);
const aad = Buffer.alloc(32, 2);

let store: SoftStore;
let host: Host;
let token: AccountToken;
beforeEach(async () => {
  store = new SoftStore();
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=700', 'tmpfs', store.tokens], {
    encoding: 'utf8',
  });
  if (mounted.status !== 0) throw new Error(`a small file system is needed (root may mount one): ${mounted.stderr}`);
  store.initialise();
  host = await store.start().ready();
  token = clientOf(store);
  token.ready();
});
afterEach(async () => {
  await token.close();
  await host.kill();
  spawnSync('umount', ['-l', store.tokens]);
  await store.remove();
});

const filler = (): string => join(store.tokens, 'filler');

function fill(): void {
  const { bavail, bsize } = statfsSync(store.tokens);
  const file = openSync(filler(), 'w', 0o600);
  try {
    for (let left = bavail * bsize; left > 0; left -= bsize) writeSync(file, Buffer.alloc(bsize));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}

it('refuses new keys, and serves those it has', async () => {
  await token.createDaemonKeys();
  await token.generateKey(ckaId, 'AES_256');
  const sealed = await token.encrypt(ckaId, aad, Buffer.from('kept'));
  const objects = store.asUser('--list-objects');
  fill();
  for (let i = 0; i < 5; i++) {
    const refused = Buffer.alloc(16, 0x30 + i);
    await expect(token.generateKey(refused, 'AES_256')).rejects.toBeInstanceOf(NothingMade);
    expect(await token.holds(refused)).toBe(false);
    await expect(token.scheduleDestruction([ckaId], 1)).rejects.toMatchObject({ code: 'KMSInternalException' });
    expect((await token.decrypt(ckaId, aad, sealed)).toString()).toBe('kept');
    expect(await token.macRow(Buffer.from('row'))).toHaveLength(32);
  }
  expect(host.child.exitCode).toBeNull();
  rmSync(filler());
  expect(store.asUser('--list-objects')).toBe(objects);
  const later = Buffer.alloc(16, 0x40);
  await token.generateKey(later, 'AES_256');
  expect((await token.decrypt(later, aad, await token.encrypt(later, aad, Buffer.from('x')))).toString()).toBe('x');
  await token.scheduleDestruction([ckaId], 1);
  fill();
  expect(await token.destroyScheduled([ckaId], 1)).toBe(true);
  expect(host.child.exitCode).toBeNull();
});
