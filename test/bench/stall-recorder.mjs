// Preloaded into each process of a daemon whose stalls are measured: appends a line of JSON for each of 5 ms or more to ROLE.jsonl in the
// folder that its own URL names. (Token hosts inherit Node's arguments, not the environment.)
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { watchTurns } from './stalls.mjs';

const file = join(new URL(import.meta.url).searchParams.get('folder'), `${process.argv[2] ?? 'supervisor'}.jsonl`);
watchTurns(({ ms, cpuMs }) => {
  if (ms >= 5) appendFileSync(file, `${JSON.stringify({ atMs: Date.now(), ms, cpuMs })}\n`);
});
