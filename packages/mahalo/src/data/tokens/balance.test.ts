/** Facts about balanced batches: every objective in every step, nothing forgotten, any step can be asked for. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { balancedBatches } from "./balance.ts";

const problem = fc
  .record({
    counts: fc.dictionary(fc.constantFrom("a", "b", "c", "d"), fc.integer({ min: 1, max: 40 }), {
      minKeys: 1,
    }),
    extra: fc.integer({ min: 0, max: 9 }),
    seed: fc.nat(),
  })
  .map(({ counts, extra, seed }) => ({
    counts: { ...counts },
    seed,
    batchSize: Object.keys(counts).length + extra,
  }));

const epochs = (plan: ReturnType<typeof balancedBatches>, count: number) =>
  Array.from({ length: count }, (_, epoch) =>
    Array.from({ length: plan.stepsPerEpoch }, (_, step) => plan.batch(epoch, step)),
  ).flat();

describe("balancedBatches", () => {
  test("every objective is in every batch, with shares that differ by at most one row but at the epoch's end", () => {
    fc.assert(
      fc.property(problem, (options) => {
        const plan = balancedBatches(options);
        for (let step = 0; step < plan.stepsPerEpoch; step++) {
          const parts = plan.batch(0, step);
          expect(parts.map(({ objective }) => objective)).toEqual(Object.keys(options.counts));
          const sizes = parts.map(({ rows }) => rows.length);
          expect(Math.min(...sizes)).toBeGreaterThan(0);
          if (step === plan.stepsPerEpoch - 1) continue;
          if (new Set(Object.values(options.counts)).size === 1) continue;
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
          expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(options.batchSize);
        }
      }),
    );
  });

  test("in later epochs too a batch has every objective, no more rows than asked for, and rows that are there", () => {
    fc.assert(
      fc.property(problem, (options) => {
        for (const parts of epochs(balancedBatches(options), 3)) {
          expect(parts.map(({ objective }) => objective)).toEqual(Object.keys(options.counts));
          expect(parts.reduce((sum, { rows }) => sum + rows.length, 0)).toBeLessThanOrEqual(
            options.batchSize,
          );
          for (const { objective, rows } of parts) {
            const count = options.counts[objective] ?? 0;
            expect(rows.length).toBeGreaterThan(0);
            expect(rows.every((row) => Number.isInteger(row) && row >= 0 && row < count)).toBe(true);
            // Only where one pass over its rows ends and the next begins, a batch may name a row twice.
            const most = Math.ceil(rows.length / count) + Number(rows.length > 1);
            for (const row of rows)
              expect(rows.filter((one) => one === row).length).toBeLessThanOrEqual(most);
          }
        }
      }),
    );
  });

  test("an epoch sees a single largest objective exactly once, and over time all rows of each equally often", () => {
    fc.assert(
      fc.property(problem, (options) => {
        const plan = balancedBatches(options);
        const largest = Math.max(...Object.values(options.counts));
        const single = Object.values(options.counts).filter((count) => count === largest).length === 1;
        const batches = epochs(plan, 3);
        for (const [objective, count] of Object.entries(options.counts)) {
          const seen = Array<number>(count).fill(0);
          for (const batch of batches) {
            for (const row of batch.find((part) => part.objective === objective)?.rows ?? []) {
              seen[row] = (seen[row] ?? 0) + 1;
            }
          }
          expect(Math.max(...seen) - Math.min(...seen)).toBeLessThanOrEqual(1);
          if (count === largest) expect(Math.min(...seen)).toBeGreaterThanOrEqual(3);
          if (count === largest && single) expect(Math.max(...seen)).toBe(3);
        }
      }),
    );
  });

  test("a step is the same whenever it is asked for", () => {
    fc.assert(
      fc.property(problem, fc.nat(20), (options, at) => {
        const plan = balancedBatches(options);
        const all = epochs(plan, 2);
        const index = at % all.length;
        const fresh = balancedBatches(options);
        expect(fresh.batch(Math.floor(index / plan.stepsPerEpoch), index % plan.stepsPerEpoch)).toEqual(
          all[index],
        );
      }),
    );
  });

  test("epochs and seeds shuffle differently", () => {
    const options = { counts: { a: 50, b: 20 }, batchSize: 10, seed: 1 };
    const plan = balancedBatches(options);
    expect(plan.stepsPerEpoch).toBe(10);
    expect(plan.batch(1, 0)).not.toEqual(plan.batch(0, 0));
    expect(balancedBatches({ ...options, seed: 2 }).batch(0, 0)).not.toEqual(plan.batch(0, 0));
  });

  test("one objective alone gives ordinary shuffled batches, the last one smaller", () => {
    const plan = balancedBatches({ counts: { a: 10 }, batchSize: 4, seed: 0 });
    const sizes = [0, 1, 2].map((step) => plan.batch(0, step)[0]?.rows.length);
    expect([plan.stepsPerEpoch, sizes]).toEqual([3, [4, 4, 2]]);
  });

  test("a batch too small, an objective without rows and a step out of range are refused", () => {
    expect(() => balancedBatches({ counts: { a: 1, b: 1 }, batchSize: 1, seed: 0 })).toThrow(/no room/);
    expect(() => balancedBatches({ counts: { a: 1, b: 0 }, batchSize: 4, seed: 0 })).toThrow(/objective b/);
    expect(() => balancedBatches({ counts: {}, batchSize: 4, seed: 0 })).toThrow(/no rows/);
    const plan = balancedBatches({ counts: { a: 4 }, batchSize: 4, seed: 0 });
    for (const step of [-1, 1, 0.5]) expect(() => plan.batch(0, step)).toThrow(/no step/);
  });
});
