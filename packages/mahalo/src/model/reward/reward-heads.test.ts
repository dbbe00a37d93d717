/** Reward heads: what each kind computes, how it begins, and whom it answers to. */
import { scope, tensor } from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import { logistic } from "../../core/logistic.ts";
import { ALL_KINDS } from "../testing/rewards.ts";
import { headKinds } from "./head-kinds/registry.ts";
import { makeHead, newHead, RewardHead, RewardHeads } from "./reward-heads.ts";

const WEIGHTS: Record<string, number[]> = {
  weight: [1, -2, 0.5, 3],
  bias: [0.25, -1],
  "hidden.weight": [1, 0, 0, -1],
  "hidden.bias": [0.5, 0.5],
  "out.weight": [2, 3],
  "out.bias": [0.125],
};

/** A head over two hidden numbers with weights that can be followed by hand. */
const known = (kind: RewardHead["kind"]): RewardHead =>
  makeHead({ name: "a", kind }, 2, {
    training: false,
    load: (name, shape) =>
      tensor(Float32Array.from((WEIGHTS[name] ?? []).slice(0, shape[0] === 2 ? undefined : shape.at(-1))), {
        shape,
      }),
  });

const outputs = (head: RewardHead, hidden: number[][]): number[] =>
  scope(() => [
    ...head.apply(tensor(Float32Array.from(hidden.flat()), { shape: [hidden.length, 2] })).toFloat32Array(),
  ]);

describe("what a head computes", () => {
  const hidden = [
    [2, 1],
    [-1, 3],
  ];
  test.each([
    // (2, 1): relu(2.5, -0.5) = (2.5, 0); (-1, 3): relu(-0.5, -2.5) = (0, 0)
    ["value", [2 * 2.5 + 0.125, 0.125]],
    ["soft", [2 - 2 + 0.25, -1 - 6 + 0.25]],
    ["hard", [0.25, 1 + 3 - 1, -7 + 0.25, -0.5 + 9 - 1]],
    ["bradley-terry", [0, -7]],
  ] as const)("%s: its formula, by hand", (kind, wanted) => {
    const head = known(kind);
    expect(outputs(head, hidden)).toEqual(wanted);
    head.dispose();
  });

  test("as a score: the number itself, or the probability of class 1", () => {
    expect(headKinds.get("value").score([3.5])).toBe(3.5);
    expect(headKinds.get("bradley-terry").score([-2])).toBe(-2);
    expect(headKinds.get("soft").score([0.3])).toBeCloseTo(logistic(0.3), 12);
    expect(headKinds.get("hard").score([1, 3])).toBeCloseTo(Math.exp(3) / (Math.exp(1) + Math.exp(3)), 12);
    const head = known("hard");
    expect(head.scores(Float32Array.from([1, 3, 2, 2]))).toEqual([logistic(2), 0.5]);
    head.dispose();
  });
});

describe("a new head", () => {
  test("is as large as PyTorch's linear layers begin, biases 0", () => {
    for (const spec of ALL_KINDS) {
      const head = newHead(spec, 64, 1);
      expect([...head.weights.keys()]).toEqual([...headKinds.get(spec.kind).shapes(64).keys()]);
      for (const [name, { value }] of head.weights) {
        const most = Math.max(...value.toFloat32Array().map(Math.abs));
        if (name.endsWith("bias")) expect(most).toBe(0);
        else {
          expect(most).toBeLessThanOrEqual(1 / 8);
          expect(most).toBeGreaterThan(0.8 / 8);
        }
      }
      head.dispose();
    }
  });

  test("depends on seed and name alone", () => {
    const weights = (name: string, seed: number): Float32Array => {
      const head = newHead({ name, kind: "soft" }, 8, seed);
      const values = head.weight("weight").float().toFloat32Array();
      head.dispose();
      return values;
    };
    expect(weights("a", 1)).toEqual(weights("a", 1));
    expect(weights("a", 1)).not.toEqual(weights("a", 2));
    expect(weights("a", 1)).not.toEqual(weights("b", 1));
  });
});

describe("the heads of a model", () => {
  const heads = (...names: string[]): RewardHead[] =>
    names.map((name) => new RewardHead({ name, kind: "soft" }, new Map()));

  test("answer to their objectives; an only head needs no name", () => {
    const two = new RewardHeads(heads("accuracy", "engagement"));
    expect(two.objectives).toEqual(["accuracy", "engagement"]);
    expect(two.get("engagement").name).toBe("engagement");
    expect(new RewardHeads(heads("accuracy")).get().name).toBe("accuracy");
    expect(() => two.get()).toThrow(expect.objectContaining({ code: "E_REWARD_OBJECTIVE" }));
    expect(() => two.get("acuracy")).toThrow(
      expect.objectContaining({ code: "E_REWARD_OBJECTIVE", hint: 'did you mean "accuracy"?' }),
    );
  });

  test("named in the prompt share one head", () => {
    const one = new RewardHeads(heads("unified"), { in: "prompt", names: ["accuracy", "helpful"] });
    expect(one.objectives).toEqual(["accuracy", "helpful"]);
    expect(one.get("helpful").name).toBe("unified");
    expect(() => one.get("unified")).toThrow(expect.objectContaining({ code: "E_REWARD_OBJECTIVE" }));
  });

  test.each([
    ["none", [], { in: "heads" }],
    ["two of a name", ["a", "a"], { in: "heads" }],
    ["two for objectives that the prompt names", ["a", "b"], { in: "prompt", names: ["a", "b"] }],
    ["one for no objective", ["a"], { in: "prompt", names: [] }],
  ] as const)("cannot be %s", (_, names, objectives) => {
    expect(() => new RewardHeads(heads(...names), objectives)).toThrow(
      expect.objectContaining({ code: "E_REWARD_HEADS" }),
    );
  });
});
