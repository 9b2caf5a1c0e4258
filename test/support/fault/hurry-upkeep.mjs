// Loaded first into each process of a daemon under test: its first wait of about a minute, which is the upkeep job's, takes a moment and
// counts as more than an hour by the clock that nobody sets; so a second look an hour after the first comes soon.
const now = performance.now.bind(performance);
const { setTimeout: wait } = globalThis;
let skippedMs = 0;
performance.now = () => now() + skippedMs;
globalThis.setTimeout = (callback, ms, ...words) => {
  if (skippedMs > 0 || !(ms > 55_000 && ms <= 60_000) || process.argv[2] !== 'gateway')
    return wait(callback, ms, ...words);
  return wait(() => {
    skippedMs = 61 * 60_000;
    callback(...words);
  }, 100);
};
