/** Whether a sweep's ends lie as far apart as models that were aligned to one objective each. */
import { describe, expect, test } from "vitest";
import { endsApart } from "../bench/study/reach.ts";
import { mixed, policy } from "./study-policies.ts";

const rule = { objectives: ["x", "y"], resamples: 200 };
const sweep = [mixed(1, 11, 3), mixed(0.5, 8, 8), mixed(0, 3, 11)];
const means = ({ findings }: { findings: { difference: { mean: number } }[] }): number[] =>
  findings.map(({ difference }) => Number(difference.mean.toFixed(4)));

describe("claim (f), ends as far apart as single models", () => {
  const alone = new Map([
    ["x", policy("dpo x", 12, 2)],
    ["y", policy("dpo y", 2, 12)],
  ]);

  test("holds where they are, and falls where they are not", () => {
    const found = endsApart([mixed(1, 12, 0), mixed(0, 0, 12)], alone, rule);
    expect(found.outcome).toBe("holds");
    // All of 12 less 0.8 times 10 of 12, on either objective.
    expect(means(found)).toEqual([0.3333, 0.3333]);
    expect(endsApart([mixed(1, 8, 6), mixed(0, 6, 8)], alone, rule).outcome).toBe("does not hold");
  });

  test("is not decided without the models or an end", () => {
    const none = endsApart(sweep, new Map(), rule);
    expect([none.outcome, none.notes]).toEqual([
      "not decided at this size",
      ["dpo did not run, so there is no distance to reach"],
    ]);
    expect(endsApart([mixed(0.5, 8, 8)], alone, rule).findings).toEqual([]);
  });
});
