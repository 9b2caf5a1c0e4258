// Four projects: `unit` needs nothing but this source, and neither does `simulation`; `whole` runs real tokens, processes and clients; `module` has the
// files that load a token's library into the test's own process. The files of `unit` and `whole` share their workers' processes: none may leave anything behind.
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** It would be said by each file that uses the SDK. */
const env = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' };

/** A library reads its configuration once a process. */
const module = ['test/token/answers.test.ts', 'test/token/known-answers.test.ts'];

/** What takes longest, the longest first: begun late, it would keep one worker busy when the others have ended. */
const longest = ['packaging/image', 'simulation/even-seeds', 'simulation/odd-seeds', 'fault/kill', 'fault/steps'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = longest.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return found === -1 ? longest.length : found;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

/** For what hangs: a machine may be slow, and has more to do than one test. */
const hungMs = 300_000;
const whole = { testTimeout: hungMs, hookTimeout: hungMs, pool: 'forks', env } as const;

export default defineConfig({
  test: {
    // vitest's default is one fewer than processors; but tests wait for children, disks and what is due: one more keeps all of them busy.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: LongestFirst },
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], isolate: false, testTimeout: 30_000, env } },
      {
        test: {
          ...whole,
          name: 'whole',
          include: ['test/{token,store,audit,process,conformance,fault,packaging}/**/*.test.ts'],
          exclude: module,
          isolate: false,
        },
      },
      { test: { ...whole, name: 'module', include: module } },
      { test: { ...whole, name: 'simulation', include: ['test/simulation/**/*.test.ts'] } },
    ],
  },
});
