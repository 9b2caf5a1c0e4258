// Two projects: `unit` needs nothing but this source; `whole` runs real tokens, processes and clients.
import { defineConfig } from 'vitest/config';

/** It would be said by each file that uses the SDK. */
const env = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' };

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 10_000, env } },
      {
        test: {
          name: 'whole',
          include: ['test/{token,store,audit,process,conformance,fault,packaging}/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          pool: 'forks',
          env,
        },
      },
    ],
  },
});
