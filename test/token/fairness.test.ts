// A host whose token is slow, and an account that asks all of it: what others and the daemon itself ask waits for their share, and no longer.
// What is counted are answers, not time.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/kernel/clock.js';
import { Secret } from '../../src/kernel/secret.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { theDaemon, type Token } from '../../src/ports/token.js';
import { connectToken, type TokenClient } from '../../src/token/client.js';
import type { Interposer } from '../support/interposer/interposer.js';
import { SoftStore } from './soft-token.js';
import { threadedProfile } from './threaded-profile.js';

const callsInFlight = 4;
/** What the host has of all askers: four calls for each that may be in flight. */
const window = 4 * callsInFlight;
const ckaId = Buffer.alloc(16, 0x11);
const aad = Buffer.alloc(32);
const plaintext = new Secret(Buffer.from('내용'));
const coded = (code: string): object => expect.objectContaining({ name: 'BridgeError', code }) as object;

let store: SoftStore;
let interposer: Interposer;
let client: TokenClient;
let busy: Token;
let other: Token;
let daemon: Token;

beforeEach(async () => {
  store = new SoftStore().initialise();
  interposer = store.interpose();
  await store.start({ profilePath: threadedProfile(store, callsInFlight) }).ready();
  client = connectToken({
    socketPath: store.socketPath,
    deadlineMs: 30_000,
    clock: systemClock,
    timers: systemTimers,
    onOverrun: () => undefined,
  });
  client.ready(callsInFlight);
  [busy, other, daemon] = [client.as('111111111111'), client.as('222222222222'), client.as(theDaemon)];
  await daemon.createDaemonKeys();
  await busy.generateKey(ckaId, 'AES_256');
});
afterEach(async () => {
  interposer.release();
  await client.close();
  await store.remove();
});

/** The next call that makes a key does not return before `release`. */
async function hungMaker(make: () => Promise<unknown>[]): Promise<Promise<unknown>[]> {
  const before = interposer.calls('C_GenerateKey');
  interposer.hang('C_GenerateKey');
  const made = make();
  while (interposer.calls('C_GenerateKey') === before) await new Promise((done) => setTimeout(done, 5));
  return made;
}

const keyId = (n: number): Buffer => Buffer.from(n.toString(16).padStart(32, '5'), 'hex');

describe('a flood of slow calls that use keys', () => {
  it.each([
    ['another account’s', () => other.encrypt(ckaId, aad, plaintext)],
    ['the daemon’s seals', () => daemon.macRow(Buffer.from('row'))],
    ['looks at keys', () => other.holds(ckaId)],
    ['records of deletions', () => other.scheduleDestruction([ckaId], 1)],
  ])('does not keep %s waiting beyond their turn', async (_whose, call) => {
    interposer.delay('C_Encrypt', 20);
    let [answered, isOver] = [0, false];
    const one = async (): Promise<void> => {
      while (!isOver) {
        await busy.encrypt(ckaId, aad, plaintext);
        answered += 1;
      }
    };
    const flood = Promise.allSettled(Array.from({ length: 200 }, one));
    while (client.state('using').waiting < 100 || answered < window) await new Promise((done) => setTimeout(done, 5));
    for (let times = 0; times < 3; times++) {
      const before = answered;
      await call();
      // Those that the host had, and as many again that were given while the asker's turn came round.
      expect(answered - before).toBeLessThanOrEqual(2 * window);
    }
    isOver = true;
    await flood;
  });
});

describe('a flood of keys to be made, of which one takes for ever', () => {
  it('holds up no call of another kind, whosever it is', async () => {
    const made = await hungMaker(() => Array.from({ length: 30 }, (_, n) => busy.generateKey(keyId(n), 'AES_256')));
    const sealed = await busy.encrypt(ckaId, aad, plaintext);
    expect((await other.decrypt(ckaId, aad, sealed)).reveal()).toEqual(plaintext.reveal());
    expect(await daemon.macRow(Buffer.from('row'))).toHaveLength(32);
    expect(await other.holds(ckaId)).toBe(true);
    expect(await daemon.inventory(undefined, 10)).toEqual([ckaId]);
    interposer.release();
    await Promise.all(made);
  });

  it('lets another account’s be made when its turn has come', async () => {
    let answered = 0;
    interposer.delay('C_GenerateKey', 30);
    const made = Array.from({ length: 30 }, async (_, n) => {
      await busy.generateKey(keyId(n), 'AES_256');
      answered += 1;
    });
    while (client.state('making').waiting === 0) await new Promise((done) => setTimeout(done, 5));
    const before = answered;
    await other.generateKey(keyId(100), 'AES_256');
    // Half of the 16 that the host has of one account that is alone, and one that was done meanwhile.
    expect(answered - before).toBeLessThanOrEqual(9);
    await Promise.all(made);
  });

  it('is refused beyond its room, where another account’s is not', async () => {
    const made = await hungMaker(() =>
      Array.from({ length: 60 }, (_, n) => busy.generateKey(keyId(n), 'AES_256').catch((error: unknown) => error)),
    );
    expect(await made[59]).toEqual(coded('ThrottlingException'));
    const others = [other.generateKey(keyId(100), 'AES_256'), daemon.generateKey(keyId(101), 'AES_256')];
    interposer.release();
    await Promise.all([...made, ...others]);
    expect(await other.holds(keyId(100))).toBe(true);
    expect(await other.holds(keyId(101))).toBe(true);
  });
});
