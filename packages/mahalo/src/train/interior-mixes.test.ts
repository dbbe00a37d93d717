/** Mixes drawn while training repeat with their seed, lie on the simplex, and weigh a pair's loss by its own objective. */
import { expect, test } from "vitest";
import { interiorMixes } from "./interior-mixes.ts";
import { pairTask } from "./testing/fixture.ts";

const NAMES = ["accuracy", "engagement", "brevity"];

test("a share of steps is read under mixes that are even over the simplex", () => {
  const draw = interiorMixes(NAMES, { share: 0.25, seed: 3 });
  const steps = Array.from({ length: 4000 }, (_, step) => draw(step, "accuracy"));
  const mixes = steps.filter((mix) => mix !== undefined);
  expect(mixes.length / steps.length).toBeGreaterThan(0.22);
  expect(mixes.length / steps.length).toBeLessThan(0.28);
  for (const mix of mixes) {
    expect(Object.keys(mix)).toEqual(NAMES);
    expect(Object.values(mix).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
  }
  for (const name of NAMES) {
    const weights = mixes.map((mix) => mix[name] ?? 0);
    const mean = weights.reduce((sum, weight) => sum + weight, 0) / weights.length;
    // A weight of three has mean 1/3 and P(weight > 1/2) = 1/4.
    expect(Math.abs(mean - 1 / 3)).toBeLessThan(0.03);
    expect(Math.abs(weights.filter((weight) => weight > 0.5).length / weights.length - 0.25)).toBeLessThan(
      0.05,
    );
  }
  expect(interiorMixes(NAMES, { share: 0.25, seed: 3 })(7, "accuracy")).toEqual(steps[7]);
  expect(interiorMixes(NAMES, { share: 1, seed: 4 })(7, "accuracy")).not.toEqual(
    interiorMixes(NAMES, { share: 1, seed: 3 })(7, "accuracy"),
  );
  expect(interiorMixes(NAMES, { share: 0, seed: 3 })(7, "accuracy")).toBeUndefined();
});

test("a pair's gradient is weighed by its objective's part of the mix, 1 on average", () => {
  const mix = { accuracy: 0.2, engagement: 0.8 };
  const alone = pairTask();
  const mixed = pairTask({ mixOf: (_step, objective) => (objective === "accuracy" ? mix : undefined) });
  const values = [Float32Array.of(-3, -2), Float32Array.of(-4)];
  for (const [index, row] of mixed.rows(0).entries()) {
    const before = alone.rows(0)[index];
    if (before === undefined) throw new Error("no row");
    expect(row.mix).toEqual(row.objective === "accuracy" ? mix : undefined);
    const factor = row.objective === "accuracy" ? 0.4 : 1;
    const { gradients, record } = mixed.loss(row, values, mixed.rows(0));
    const plain = alone.loss(before, values, alone.rows(0));
    expect(record).toEqual(plain.record);
    for (const [side, gradient] of plain.gradients.entries())
      expect(gradients[side]).toBeCloseTo(Number(gradient) * factor, 12);
  }
});
