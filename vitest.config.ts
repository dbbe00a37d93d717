/** Test set-up: unit tests beside the code, golden, integration and end-to-end tests under test/. */
import { defineConfig } from "vitest/config";

// Two test files run at once: one thread each, or their libtorch threads would spin against each other.
process.env.OMP_NUM_THREADS ??= "1";
process.env.OMP_WAIT_POLICY ??= "passive";

export default defineConfig({
  test: {
    include: ["packages/*/src/**/*.test.ts", "test/**/*.test.ts", "scripts/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    coverage: {
      provider: "v8",
      include: ["packages/*/src/**/*.ts"],
      exclude: ["**/*.test.ts", "**/*.generated.ts"],
      reporter: ["text-summary"],
    },
  },
});
