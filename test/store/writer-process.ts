// A gateway's writes in a process of its own: inserts keys one after the other and says on stdout what the store answered to each.
// Arguments: database, the token's file, how many keys (0: until killed). On a full disk it waits for a line on stdin.
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { systemClock } from '../../src/kernel/clock.js';
import { systemRandom } from '../../src/kernel/random.js';
import { systemTimers } from '../../src/kernel/timers.js';
import { openStore } from '../../src/store/open.js';
import { FakeToken } from '../support/fake-token.js';
import { keyStore, region, sampleKey } from './samples.js';

const [path = '', tokenFile = '', count = '0'] = process.argv.slice(2);
// Past its file-size limit a process is killed unless it listens; then the write fails as on a full disk.
process.on('SIGXFSZ', () => undefined);

const say = (line: string) => writeSync(1, `${line}\n`);
const token = new FakeToken(tokenFile);
const store = await openStore({
  path,
  tokens: { of: () => token, keyStoresOf: () => [keyStore] },
  defaultRegion: region,
  clock: systemClock,
  timers: systemTimers,
  random: systemRandom,
  shared: true,
  onBroken: () => undefined,
  onFault: () => undefined,
});
let failures = 0;
for (let n = 0; count === '0' || n < Number(count); n++) {
  const key = sampleKey({ policy: 'p'.repeat(2_000) });
  try {
    await store.keys.insert(key);
    say(`stored ${key.keyId}`);
  } catch (error) {
    say(`failed ${key.keyId} ${(error as { code?: string }).code ?? String(error)}`);
    if (++failures === 3) {
      say('waiting');
      await once(process.stdin, 'data');
      process.stdin.destroy();
    }
  }
}
await store.close();
say(`created ${String(token.createCalls)}`);
