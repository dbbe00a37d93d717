/** Margins of all heads from one pass are those of one pass a head. */
import { expect, test } from "vitest";
import { tinyModel } from "../../model/testing/tiny.ts";
import { logProbs } from "../../train/forward.ts";
import { logProbHead } from "../../train/log-prob-head.ts";
import { pairMargins } from "./pair-margins.ts";

const sum = (values: Float32Array | undefined): number =>
  Array.from(values ?? []).reduce((all, one) => all + one, 0);

test("every head's margins equal those of a pass of its own", async () => {
  const model = await tinyModel("tiny-llama");
  model.heads.addNoisyCopies(["a", "b"], { seed: 3, std: 0.1, compute: "float32" });
  const pairs = [
    { objective: "a", prompt: [1, 5, 9], chosen: [4, 7, 2], rejected: [6, 2] },
    { objective: "b", prompt: [1, 8], chosen: [3], rejected: [11, 12, 13, 2] },
    { objective: "a", prompt: [1], chosen: [20, 21], rejected: [20, 22] },
  ].map((pair, line) => ({ ...pair, origin: { file: "rows", line: line + 1 } }));
  const heads = [
    { label: "base", weight: model.heads.base },
    ...["a", "b"].map((label) => ({ label, weight: model.heads.get(label) })),
  ];
  const found = pairMargins(model, heads, pairs, ["a", "b"]);
  expect(found.map(({ head, objective }) => `${head} on ${objective}`)).toEqual([
    "base on a",
    "base on b",
    "a on a",
    "a on b",
    "b on a",
    "b on b",
  ]);
  for (const { label, weight } of heads) {
    const rows = pairs.map(({ prompt, chosen, rejected }, index) => ({
      prompt,
      completions: [chosen, rejected],
      objective: undefined,
      index,
    }));
    const alone = logProbs(model, rows, {
      maxTokensPerMicrobatch: 64,
      headOf: () => logProbHead(() => weight),
    });
    for (const objective of ["a", "b"]) {
      const wanted = alone.flatMap(([chosen, rejected], index) =>
        pairs[index]?.objective === objective ? [sum(chosen) - sum(rejected)] : [],
      );
      const margins = found.find((one) => one.head === label && one.objective === objective)?.margins ?? [];
      expect(margins).toHaveLength(wanted.length);
      margins.forEach((margin, index) => {
        expect(margin).toBeCloseTo(wanted[index] ?? Number.NaN, 4);
      });
    }
  }
  model.dispose();
});
