// Appends records for ever and prints the number of each that was acknowledged; killed by the test.
import { systemTimers } from '../../dist/kernel/timers.js';
import { systemRandom } from '../../dist/kernel/random.js';
import { openAuditLane } from '../../dist/audit/lane.js';

const [directory, first, segmentBytes] = process.argv.slice(2);
const lane = await openAuditLane({
  directory,
  lane: 0,
  clock: { now: () => Date.now() },
  timers: systemTimers,
  random: systemRandom,
  segmentBytes: Number(segmentBytes),
});
let next = Number(first);
await Promise.all(
  Array.from({ length: 16 }, async () => {
    for (;;) {
      const n = next++;
      try {
        await lane.append('event', JSON.stringify({ eventName: 'Encrypt', requestID: `request-${n}`, n }));
        process.stdout.write(`${n}\n`);
      } catch (error) {
        process.stdout.write(`refused ${error.code} ${lane.state().reason}\n`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }),
);
