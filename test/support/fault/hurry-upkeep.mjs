// Loaded first into each process of a daemon under test: a gateway's upkeep comes again a moment after its first turn, and a second look
// counts as one that came an hour later. All other clocks go on as they are.
if (process.argv[2] === 'gateway') {
  const { setTimeout: wait } = globalThis;
  let hurried = false;
  globalThis.setTimeout = (callback, ms, ...words) => {
    // The job's wait is a minute less the time that its turn took.
    const isUpkeep = !hurried && ms > 55_000 && ms <= 60_000;
    hurried ||= isUpkeep;
    return wait(callback, isUpkeep ? 100 : ms, ...words);
  };

  const { SecondLook } = await import(new URL('../../../dist/pipeline/second-look.js', import.meta.url).href);
  const { look } = SecondLook.prototype;
  const seen = new Set();
  SecondLook.prototype.look = function (subject) {
    const { isRipe, end } = look.call(this, subject);
    const seenBefore = new Set(seen);
    return {
      isRipe(name) {
        seen.add(`${subject} ${name}`);
        return isRipe(name) || seenBefore.has(`${subject} ${name}`);
      },
      end,
    };
  };
}
