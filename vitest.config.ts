/** Test set-up: unit tests beside the code, golden, integration and end-to-end tests under test/. */
import { defineConfig } from "vitest/config";

// Two test files run at once: one thread each, or their libtorch threads would spin against each other.
process.env.OMP_NUM_THREADS ??= "1";
process.env.OMP_WAIT_POLICY ??= "passive";

// A test waits for a result, not for a clock: this only ends what would never end.
const never = 12 * 3_600_000;

export default defineConfig({
  test: {
    include: ["packages/*/{src,setup}/**/*.test.ts", "test/**/*.test.ts", "scripts/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    setupFiles: ["test/working-folder.ts"],
    testTimeout: never,
    hookTimeout: never,
    teardownTimeout: never,
    expect: { poll: { timeout: never } },
    coverage: {
      provider: "v8",
      include: ["packages/*/src/**/*.ts"],
      exclude: ["**/*.test.ts", "**/*.generated.ts"],
      reporter: ["text-summary"],
    },
  },
});
