// Times in which a process's event loop did not turn: by the clock, which is the whole machine's, and how much CPU time the process had in
// them, which is what it would come to on a machine with nothing else to do. (A garbage collection waits for helper threads that
// may have no CPU, and a hypervisor takes its share: both look like a stall of the process's own by any clock.)

/** Calls `onTurn({ ms, cpuMs })` about each millisecond, for the time since the call before. Gives what ends it, after a last call. */
export function watchTurns(onTurn) {
  let [at, cpu] = [performance.now(), process.cpuUsage()];
  const look = () => {
    const [nowAt, nowCpu] = [performance.now(), process.cpuUsage()];
    const ms = nowAt - at;
    const cpuMs = (nowCpu.user - cpu.user + nowCpu.system - cpu.system) / 1000;
    [at, cpu] = [nowAt, nowCpu];
    onTurn({ ms, cpuMs: Math.min(ms, cpuMs) });
  };
  const timer = setInterval(look, 1);
  timer.unref();
  return () => {
    look();
    clearInterval(timer);
  };
}
