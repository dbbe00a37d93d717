/** Schedules: equal to transformers' at every step, and always between 0 and 1. */
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { z } from "zod";
import { SCHEDULES, schedule } from "./schedule.ts";

const golden = z
  .object({
    schedules: z.array(
      z.object({
        name: z.enum(SCHEDULES),
        totalSteps: z.number(),
        warmupSteps: z.number(),
        factors: z.array(z.number()),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(new URL("../../../test/golden/data/optim.json", import.meta.url), "utf8")));

test.each(golden.schedules)(
  "$name over $totalSteps steps, $warmupSteps of warm-up, equals transformers",
  (run) => {
    const factor = schedule(run.name, run);
    // Beyond the run transformers lets the cosine rise again; ours stays where the run ended.
    run.factors.slice(0, run.totalSteps + 1).forEach((wanted, step) => {
      expect(factor(step)).toBeCloseTo(wanted, 12);
    });
  },
);

test("every factor lies from 0 to 1, rises in warm-up and never after it", () => {
  const run = fc.record({
    name: fc.constantFrom(...SCHEDULES),
    totalSteps: fc.integer({ min: 1, max: 300 }),
    warmupSteps: fc.nat(100),
  });
  fc.assert(
    fc.property(run, fc.nat(400), ({ name, ...options }, step) => {
      const factor = schedule(name, options);
      expect(factor(step)).toBeGreaterThanOrEqual(0);
      expect(factor(step)).toBeLessThanOrEqual(1);
      if (step < options.warmupSteps) expect(factor(step + 1)).toBeGreaterThan(factor(step));
      else expect(factor(step + 1)).toBeLessThanOrEqual(factor(step));
    }),
  );
});

test("counts that are no whole numbers are errors that name them", () => {
  expect(() => schedule("linear", { totalSteps: 0 })).toThrow(/totalSteps/);
  expect(() => schedule("linear", { totalSteps: 1.5 })).toThrow(/totalSteps/);
  expect(() => schedule("cosine", { totalSteps: 5, warmupSteps: -1 })).toThrow(/warmupSteps/);
});
