// What a gateway sees when its token host dies, hangs or loses its token, and what a host does with a client that sends garbage.
import { renameSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AccountToken } from './one-account.js';
import { clientOf, SoftStore, type Host } from './soft-token.js';

const ckaId = Buffer.alloc(16, 0x11);
const aad = Buffer.alloc(32);
const coded = (code: string): object => expect.objectContaining({ name: 'BridgeError', code }) as object;

let store: SoftStore;
let host: Host;
let token: AccountToken;
let overruns: number;

beforeEach(async () => {
  store = new SoftStore().initialise();
  host = await store.start().ready();
  overruns = 0;
  token = clientOf(store, { onOverrun: () => overruns++ });
  token.ready();
  await token.generateKey(ckaId, 'AES_256');
});

afterEach(async () => {
  await token.close();
  await store.remove();
});

const settled = (promises: readonly Promise<unknown>[]): Promise<unknown[]> =>
  Promise.all(promises.map((promise) => promise.catch((error: unknown) => error)));

describe('a killed host', () => {
  it('fails what it had been given, and its successor serves what came after', async () => {
    const plaintext = Buffer.from('still there');
    const sealed = await token.encrypt(ckaId, aad, plaintext);
    // Those that were not sent wait for the next host, with room for one call more.
    const inFlight = Array.from({ length: 200 }, () => token.encrypt(ckaId, aad, plaintext));
    setImmediate(() => host.signal('SIGKILL'));
    const outcomes = settled(inFlight);
    await host.exit;
    const waiting = token.decrypt(ckaId, aad, sealed);
    host = await store.start().ready();
    token.ready();
    expect(await waiting).toEqual(plaintext);
    for (const outcome of await outcomes) {
      if (!Buffer.isBuffer(outcome)) expect(outcome).toEqual(coded('KMSInternalException'));
    }
  });

  it('gives no key away: what it acknowledged is there, under the next host', async () => {
    const ids = Array.from({ length: 20 }, (_, n) => Buffer.alloc(16, 0x60 + n));
    const made: Buffer[] = [];
    const outcomes = settled(ids.map((id) => token.generateKey(id, 'AES_256').then(() => made.push(id))));
    while (made.length < 5) await new Promise((resolve) => setImmediate(resolve));
    await host.kill();
    host = await store.start().ready();
    token.ready();
    await outcomes;
    for (const id of made) expect((await token.encrypt(id, aad, Buffer.alloc(1))).length).toBe(29);
    const listed = new Set((await token.inventory(undefined, 8192)).map((id) => id.toString('hex')));
    for (const id of made) expect(listed).toContain(id.toString('hex'));
  });

  it('is noticed through the supervisor too', async () => {
    host.signal('SIGSTOP');
    const call = token.encrypt(ckaId, aad, Buffer.alloc(1));
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    token.down();
    await expect(call).rejects.toEqual(coded('KMSInternalException'));
  });
});

describe('a hanging host', () => {
  it('costs each call its deadline and is reported once', async () => {
    await token.close();
    token = clientOf(store, { deadlineMs: 300, onOverrun: () => overruns++ });
    token.ready();
    await token.encrypt(ckaId, aad, Buffer.alloc(1));
    host.signal('SIGSTOP');
    const calls = Array.from({ length: 50 }, () => token.encrypt(ckaId, aad, Buffer.alloc(1)));
    for (const outcome of await settled(calls)) expect(outcome).toEqual(coded('DependencyTimeoutException'));
    // The calls' deadlines are theirs; the host's is a whole one without a word, counted from one look to the next.
    while (overruns === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    await settled([token.random(1)]);
    expect(overruns).toBe(1);
    await host.kill();
    host = await store.start().ready();
    token.ready();
    await token.encrypt(ckaId, aad, Buffer.alloc(1));
    host.signal('SIGSTOP');
    await settled([token.random(1)]);
    while (overruns === 1) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(overruns).toBe(2);
  });

  it('that goes on later answers nobody twice', async () => {
    await token.close();
    token = clientOf(store, { deadlineMs: 300 });
    token.ready();
    await token.encrypt(ckaId, aad, Buffer.alloc(1));
    host.signal('SIGSTOP');
    await settled([token.random(8), token.random(8)]);
    host.signal('SIGCONT');
    expect((await token.random(16)).length).toBe(16);
  });
});

describe('a lost token', () => {
  it('ends its host, after an answer to everybody', async () => {
    // The folder of the token is moved away under the library.
    renameSync(store.tokens, join(store.home, 'gone'));
    const calls = [
      token.generateKey(Buffer.alloc(16, 0x12), 'AES_256'),
      token.random(1),
      token.encrypt(ckaId, aad, Buffer.alloc(1)),
    ];
    const outcomes = await settled(calls);
    expect(outcomes[0]).toEqual(coded('KMSInternalException'));
    expect(await host.exit).toEqual({ code: 75, signal: null });
    renameSync(join(store.home, 'gone'), store.tokens);
    host = await store.start().ready();
    token.ready();
    await token.encrypt(ckaId, aad, Buffer.alloc(1));
  });
});

describe('garbage from a client', () => {
  const frame = (length: number, rest: Buffer): Buffer => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    return Buffer.concat([head, rest]);
  };

  /** Sends and waits until the host closes the connection. */
  const send = (bytes: Buffer): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(store.socketPath);
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
      socket.resume();
      socket.end(bytes);
    });

  it('closes its connection and nothing else', async () => {
    const garbage = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      // Well framed, but no request.
      fc
        .tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 200 }))
        .map(([op, payload]) => frame(5 + payload.length, Buffer.concat([Buffer.from([0, 0, 0, 1, op]), payload]))),
      fc.constantFrom(0, 4, 262_145, 0xffff_ffff).map((length) => frame(length, Buffer.alloc(64))),
    );
    await fc.assert(
      fc.asyncProperty(garbage, async (bytes) => {
        await send(bytes);
        expect(await token.encrypt(ckaId, aad, Buffer.alloc(1))).toHaveLength(29);
      }),
      { numRuns: 150 },
    );
    expect(host.child.exitCode).toBeNull();
  });

  it('does not reach a key', async () => {
    // Destruction of a daemon key, written by hand: refused, whatever the client in front of it does.
    const { daemonKeys } = await import('../../src/ports/token.js');
    await token.createDaemonKeys();
    const seal = await token.macRow(Buffer.from('row'));
    for (const op of [14, 16]) {
      const payload = Buffer.concat([Buffer.from([0, 0, 0, 16]), daemonKeys.rowSeal, Buffer.alloc(8)]);
      const request = Buffer.concat([Buffer.from([0, 0, 0, 1, op]), payload]);
      await send(frame(request.length, request));
    }
    expect(await token.macRow(Buffer.from('row'))).toEqual(seal);
  });
});
