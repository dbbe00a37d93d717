/** Plans of steps over rows: balance, ends, and rows that no step reaches. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { reachedRows, scheduleRows } from "./training.ts";

const size = fc.integer({ min: 1, max: 20 });

test("the rows that steps reach make the very batches of all rows", () => {
  fc.assert(
    fc.property(size, size, fc.integer({ min: 1, max: 9 }), fc.nat(99), (a, b, maxSteps, seed) => {
      const rows = [
        ...Array.from({ length: a }, (_, index) => ({ objective: "a", at: index })),
        ...Array.from({ length: b }, (_, index) => ({ objective: "b", at: index })),
      ];
      const whole = scheduleRows(rows, ["a", "b"], { batchSize: 4, epochs: 3, maxSteps }, seed);
      const reached = reachedRows(rows, whole);
      expect(reached.schedule.steps).toBe(whole.steps);
      const seen = new Set<number>();
      for (let step = 0; step < whole.steps; step++) {
        const batch = reached.schedule.batch(step);
        expect(batch.map((index) => reached.rows[index])).toEqual(
          whole.batch(step).map((index) => rows[index]),
        );
        for (const index of batch) seen.add(index);
      }
      expect(seen.size).toBe(reached.rows.length);
    }),
  );
});
