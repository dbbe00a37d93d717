/** MAH-DPO: batch loss and every gradient are autograd's, and an objective moves its own head and the backbone only. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LanguageModel } from "../model/folder/load.ts";
import { trainAll } from "../model/testing/gradients.ts";
import { tinyNames } from "../model/testing/tiny.ts";
import type { Parameter } from "../model/transformer/parameters.ts";
import { logProbs } from "./forward.ts";
import type { PreferenceTaskOptions, ReferencePair } from "./preference.ts";
import { expectClose, relativeToLargest } from "./testing/compare.ts";
import {
  alignedModel,
  OBJECTIVES,
  PAIRS,
  pairTask,
  plainGradients,
  REFERENCE,
  stepGradients,
} from "./testing/fixture.ts";

const sum = (values: Float32Array | undefined): number =>
  [...(values ?? [])].reduce((all, one) => all + one, 0);
const codeOf = (body: () => unknown): unknown => {
  try {
    body();
  } catch (error) {
    return error;
  }
  return undefined;
};

/** Options of a task over the pairs with the given indices. */
const only = (indices: readonly number[]): Partial<PreferenceTaskOptions> => ({
  pairs: indices.flatMap((index) => PAIRS[index] ?? []),
  reference: indices.flatMap((index) => REFERENCE[index] ?? []),
  batch: () => indices.map((_, index) => index),
});
const indicesOf = (objective: string): number[] =>
  [...PAIRS.keys()].filter((index) => PAIRS[index]?.objective === objective);

describe.each(tinyNames)("%s", (name) => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await alignedModel(name);
    trainAll(model);
  });
  afterAll(() => model.dispose());

  test.each([
    ["sigmoid", { reference: REFERENCE }],
    ["sigmoid with smoothing", { reference: REFERENCE, smoothing: 0.2, beta: 0.3 }],
    ["identity", { reference: REFERENCE, loss: "ipo", beta: 0.2 }],
    ["identity of means", { reference: REFERENCE, loss: "ipo-norm", beta: 0.2 }],
    ["SimPO", { reference: undefined, loss: "simpo", beta: 2, gamma: 0.3, smoothing: 0.1 }],
    ["reference-free", { reference: undefined }],
    ["weighted", { reference: REFERENCE, objectiveWeights: { accuracy: 3, engagement: 0.5 } }],
  ] as const)("the %s loss and all gradients are those of autograd on whole rows, to 1e-5", (_, options) => {
    const trained = [...model.backbone.parameters(), ...model.heads.parameters()];
    const { metrics, gradients } = stepGradients(model, pairTask(options), trained);
    const plain = plainGradients(model, options);
    expect(relativeToLargest([metrics.loss ?? Number.NaN], [plain.loss])).toBeLessThan(1e-5);
    expectClose(gradients, plain.gradients, 1e-5);
    const still = [...gradients].filter(([, values]) => values.every((value) => value === 0));
    expect(still.map(([key]) => key)).toEqual(["lm_head.weight"]);
  });
});

describe("a step", () => {
  let model: LanguageModel;
  let trained: Parameter[];
  beforeAll(async () => {
    model = await alignedModel();
    trained = trainAll(model);
  });
  afterAll(() => model.dispose());

  /** Gradients of one objective's pairs alone. */
  const alone = (objective: string): Map<string, Float32Array> =>
    stepGradients(model, pairTask(only(indicesOf(objective))), trained).gradients;

  test.each(OBJECTIVES)(
    "of pairs of %s alone leaves every other head's gradient out, not just small",
    (objective) => {
      alone(objective);
      const heads = [model.heads.base, ...model.heads.parameters()];
      const moved = heads.filter(({ gradient }) => gradient !== null).map((head) => head.name);
      expect(moved).toEqual([`heads.${objective}.weight`]);
      for (const one of model.backbone.parameters()) expect(one.gradient, one.name).not.toBeNull();
    },
  );

  test.each([
    ["the mean over objectives", {}, 0.5],
    ["the weighted mean where objectives have weights", { accuracy: 3, engagement: 1 }, 0.75],
  ])("gives the backbone %s, and each head its own objective's part", (_, objectiveWeights, share) => {
    const [accuracy, engagement] = [alone("accuracy"), alone("engagement")];
    const { gradients } = stepGradients(model, pairTask({ objectiveWeights }), trained);
    const wanted = new Map(
      [...accuracy].map(([key, values]) => [
        key,
        values.map((value, i) => share * value + (1 - share) * (engagement.get(key)?.[i] ?? Number.NaN)),
      ]),
    );
    expectClose(gradients, wanted, 1e-5);
  });

  test("is the same whatever an objective's share of the batch", () => {
    const all = [...PAIRS.keys()];
    const once = stepGradients(model, pairTask(only(all)), trained);
    const more = stepGradients(model, pairTask(only([...all, ...indicesOf("accuracy")])), trained);
    expect(more.metrics.loss).toBeCloseTo(once.metrics.loss ?? Number.NaN, 6);
    expectClose(more.gradients, once.gradients, 1e-5);
  });

  test("counts a pair as often as the batch names it", () => {
    const [first = -1, second = -1, third = -1] = indicesOf("accuracy");
    const other = indicesOf("engagement");
    const named = pairTask({ batch: () => [first, second, third, first, ...other] });
    const written = pairTask(only([first, second, third, first, ...other]));
    const [a, b] = [named, written].map((task) => stepGradients(model, task, trained));
    expect(a).toEqual(b);
  });

  test("depends on the order of its pairs by rounding only", () => {
    const forward = stepGradients(model, pairTask(), trained);
    const back = stepGradients(model, pairTask({ batch: () => [...PAIRS.keys()].reverse() }), trained);
    expectClose(back.gradients, forward.gradients, 1e-5);
  });

  test("measures log-probabilities, rewards and losses of its pairs under TRL's names", () => {
    const task = pairTask({ beta: 0.2 });
    const { metrics } = stepGradients(model, task, trained);
    const logps = logProbs(model, task.rows(0), { maxTokensPerMicrobatch: 1000 });
    const rows = PAIRS.map(({ objective }, i) => {
      const [chosen, rejected] = (logps[i] ?? []).map(sum);
      const rewards = {
        chosen: 0.2 * ((chosen ?? Number.NaN) - (REFERENCE[i]?.chosen ?? Number.NaN)),
        rejected: 0.2 * ((rejected ?? Number.NaN) - (REFERENCE[i]?.rejected ?? Number.NaN)),
      };
      const margin = rewards.chosen - rewards.rejected;
      return {
        objective,
        chosen: chosen ?? Number.NaN,
        rewards,
        margin,
        loss: Math.log1p(Math.exp(-margin)),
      };
    });
    const mean = (values: number[]): number => values.reduce((all, one) => all + one, 0) / values.length;
    for (const [prefix, own] of [
      ["", rows],
      ...OBJECTIVES.map((name) => [`${name}/`, rows.filter(({ objective }) => objective === name)] as const),
    ] as const) {
      const expected = {
        [`${prefix}rewards/chosen`]: mean(own.map(({ rewards }) => rewards.chosen)),
        [`${prefix}rewards/rejected`]: mean(own.map(({ rewards }) => rewards.rejected)),
        [`${prefix}rewards/margins`]: mean(own.map(({ margin }) => margin)),
        [`${prefix}rewards/accuracies`]: mean(own.map(({ margin }) => Number(margin > 0))),
        [`${prefix}logps/chosen`]: mean(own.map(({ chosen }) => chosen)),
        ...(prefix === "" ? {} : { [`${prefix}loss`]: mean(own.map(({ loss }) => loss)) }),
      };
      for (const [key, value] of Object.entries(expected)) {
        expect(Math.abs((metrics[key] ?? Number.NaN) - value), key).toBeLessThan(1e-4);
      }
    }
    const own = OBJECTIVES.map((name) => metrics[`${name}/loss`] ?? Number.NaN);
    expect(metrics.loss).toBeCloseTo(mean(own), 10);
  });

  test("from a policy equal to the reference has loss log 2 and no reward", () => {
    const plain = pairTask({ reference: undefined });
    const reference = logProbs(model, plain.rows(0), { maxTokensPerMicrobatch: 1000 }).map(
      ([chosen, rejected]): ReferencePair => ({ chosen: sum(chosen), rejected: sum(rejected) }),
    );
    const { metrics } = stepGradients(model, pairTask({ reference }), trained);
    expect(metrics.loss).toBeCloseTo(Math.LN2, 5);
    expect(metrics["rewards/margins"]).toBeCloseTo(0, 5);
    expect(metrics["rewards/chosen"]).toBeCloseTo(0, 5);
  });

  test("takes held-out pairs with their own reference", () => {
    const task = pairTask({ heldOut: PAIRS.slice(2, 4), heldOutReference: REFERENCE.slice(2, 4) });
    const logps = [Float32Array.of(-1, -2), Float32Array.of(-4)];
    for (const [i, row] of task.heldOut.entries()) {
      const { record } = task.loss(row, logps, task.heldOut);
      expect(record.objective).toBe(PAIRS[2 + i]?.objective);
      expect(record.rewardChosen).toBeCloseTo(0.1 * (-3 - (REFERENCE[2 + i]?.chosen ?? Number.NaN)), 10);
      expect(record.rewardRejected).toBeCloseTo(0.1 * (-4 - (REFERENCE[2 + i]?.rejected ?? Number.NaN)), 10);
    }
  });
});

describe("a task refuses", () => {
  test("a batch that lacks an objective, naming step and objective", () => {
    const task = pairTask({ batch: (step) => (step < 2 ? [...PAIRS.keys()] : indicesOf("accuracy")) });
    expect(task.rows(1)).toHaveLength(PAIRS.length);
    expect(codeOf(() => task.rows(2))).toMatchObject({
      code: "E_BATCH_OBJECTIVE_MISSING",
      message: expect.stringMatching(/step 2.*"engagement"/),
    });
    expect(codeOf(() => pairTask({ batch: () => [] }).rows(0))).toMatchObject({
      code: "E_BATCH_OBJECTIVE_MISSING",
    });
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("an objective weight of %d", (weight) => {
    expect(codeOf(() => pairTask({ objectiveWeights: { accuracy: weight } }))).toMatchObject({
      code: "E_OBJECTIVE_WEIGHT",
      message: expect.stringContaining("objectives.accuracy.weight"),
    });
  });

  test("a reference that is not of its pairs, instead of leaving it out of some margins", () => {
    const short = REFERENCE.slice(1);
    expect(codeOf(() => pairTask({ reference: short }))).toMatchObject({
      code: "E_REFERENCE",
      message: expect.stringContaining("7"),
    });
    expect(codeOf(() => pairTask({ heldOut: PAIRS, heldOutReference: short }))).toMatchObject({
      code: "E_REFERENCE",
    });
    expect(codeOf(() => pairTask({ heldOut: PAIRS, heldOutReference: undefined }))).toMatchObject({
      code: "E_REFERENCE",
    });
  });

  test("a batch that names a pair it has not", () => {
    expect(codeOf(() => pairTask({ batch: () => [0, 1, 99] }).rows(0))).toMatchObject({
      message: expect.stringContaining("99"),
    });
  });

  test("a pair without a response token, instead of training on nothing", async () => {
    const model = await alignedModel();
    const pairs = PAIRS.map((pair, i) => (i === 0 ? { ...pair, rejected: [] } : pair));
    const task = pairTask({ pairs });
    expect(codeOf(() => stepGradients(model, task, trainAll(model)))).toMatchObject({ code: "E_PACK_ROW" });
    model.dispose();
  });
});
