// Preloaded into each process of a profiled daemon: V8's sampling profiler, from the moment the file `go` appears in the folder that
// --title names until the process exits, written there as PID.cpuprofile. (Token hosts inherit Node's arguments, not the environment.)
import { existsSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join } from 'node:path';

const folder = process.title;
const waiting = setInterval(() => {
  if (!existsSync(join(folder, 'go'))) return;
  clearInterval(waiting);
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: 500 });
  session.post('Profiler.start');
  process.on('exit', () => {
    session.post('Profiler.stop', (error, result) => {
      if (!error) writeFileSync(join(folder, `${process.pid}.cpuprofile`), JSON.stringify(result.profile));
    });
  });
}, 50);
waiting.unref();
