/** Training reward models: gradients that are autograd's, one pass for all prefixes, labels that are learnt as they are. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import type { HeadSpec } from "../model/reward/reward-heads.ts";
import type { RewardModel } from "../model/reward/reward-model.ts";
import { namedPrompt } from "../model/reward/reward-prompt.ts";
import { ALL_KINDS, rewardWeights, scoresOfHead, tinyRewards } from "../model/testing/rewards.ts";
import { tinyNames, withFolder } from "../model/testing/tiny.ts";
import { forwardWithoutGrad } from "./forward.ts";
import type { LabelledSteps, RewardRow, RewardTaskOptions } from "./reward.ts";
import { expectClose } from "./testing/compare.ts";
import { trainOptions } from "./testing/fixture.ts";
import { plainRewardStep, REWARD_ROWS, rewardStep, rewardsTask } from "./testing/rewards.ts";
import { setTrainable, train } from "./trainer.ts";

beforeAll(() => silenceProgress(true));
afterAll(() => silenceProgress(false));

/** Runs a test over a model of its own. */
const over = async <T>(
  heads: readonly HeadSpec[],
  body: (model: RewardModel) => Promise<T> | T,
  options: Parameters<typeof tinyRewards>[2] = {},
): Promise<T> => {
  const model = await tinyRewards("tiny-llama", heads, options);
  try {
    return await body(model);
  } finally {
    model.dispose();
  }
};

/** A whole file as text. */
const readText = (path: string): string => readFileSync(path, "utf8");

const isSteps = (row: RewardRow): row is LabelledSteps => "ends" in row;

describe("the gradient of a step", () => {
  test.each(tinyNames)(
    "of %s with all kinds of heads is autograd's over every prefix by itself",
    async (name) => {
      const model = await tinyRewards(name, ALL_KINDS);
      const plain = plainRewardStep(model);
      for (const maxTokensPerMicrobatch of [10_000, 1]) {
        const ours = rewardStep(model, rewardsTask(model), { maxTokensPerMicrobatch });
        expect(ours.metrics.loss).toBeCloseTo(plain.loss, 5);
        expectClose(ours.gradients, plain.gradients, 2e-5);
      }
      model.dispose();
    },
  );

  test.each(ALL_KINDS)("of one objective ($kind) is autograd's, and moves no other head", (spec) =>
    over(ALL_KINDS, (model) => {
      const rows = REWARD_ROWS.filter(({ objective }) => objective === spec.name);
      const ours = rewardStep(model, rewardsTask(model, { rows }));
      expectClose(ours.gradients, plainRewardStep(model, rows).gradients, 2e-5);
      for (const [name, gradient] of ours.gradients) {
        const other = name.startsWith("rewards.") && !name.startsWith(`rewards.${spec.name}.`);
        if (other) expect(Math.max(...gradient.map(Math.abs)), name).toBe(0);
      }
    }),
  );

  test("weighs objectives as told, whatever their shares", () =>
    over(ALL_KINDS, (model) => {
      const weights = { accuracy: 3, helpful: 0.5 };
      const plain = plainRewardStep(model, REWARD_ROWS, weights);
      const ours = rewardStep(model, rewardsTask(model, { weights }));
      expect(ours.metrics.loss).toBeCloseTo(plain.loss, 5);
      expectClose(ours.gradients, plain.gradients, 2e-5);
    }));

  test.each(["soft", "hard"] as const)("of pairs under a %s head takes the sides as classes", (kind) =>
    over([{ name: "helpful", kind }], (model) => {
      const rows = REWARD_ROWS.filter(({ objective }) => objective === "helpful");
      const ours = rewardStep(model, rewardsTask(model, { rows }));
      expectClose(ours.gradients, plainRewardStep(model, rows).gradients, 2e-5);
      expect(ours.records.map((record) => "labels" in record && record.labels)).toEqual([
        [1, 0],
        [1, 0],
      ]);
    }),
  );

  test("of a model whose prompts name the objective is that of the named prompts", () =>
    over(
      [{ name: "unified", kind: "soft" }],
      (model) => {
        const rows = REWARD_ROWS.filter(({ objective }) => ["clarity", "engagement"].includes(objective));
        const ours = rewardStep(model, rewardsTask(model, { rows }));
        expectClose(ours.gradients, plainRewardStep(model, rows).gradients, 2e-5);
        expect(rewardsTask(model, { rows }).rows(0)[0]?.prompt).toEqual(
          namedPrompt(model, "clarity", rows[0]?.prompt ?? []),
        );
      },
      { promptObjectives: ["clarity", "engagement"] },
    ));

  test("in bfloat16 reaches heads and backbone, near that of float32", async () => {
    const exact = await tinyRewards("tiny-llama", ALL_KINDS);
    const rounded = await tinyRewards("tiny-llama", ALL_KINDS, { compute: "bfloat16" });
    const [a, b] = [exact, rounded].map((model) => rewardStep(model, rewardsTask(model)));
    expectClose(b?.gradients ?? new Map(), a?.gradients ?? new Map(), 0.1);
    for (const one of [exact, rounded]) one.dispose();
  });
});

test("one pass scores every step as its prefix by itself", () =>
  over(ALL_KINDS, (model) => {
    const task = rewardsTask(model);
    const { records } = rewardStep(model, task);
    for (const [i, row] of REWARD_ROWS.entries()) {
      const record = records[i];
      if (record === undefined) throw new Error("a record of each row");
      const alone = (prefix: readonly number[]): number =>
        scoresOfHead(model, [...row.prompt, ...prefix], row.objective).at(-1) ?? Number.NaN;
      const [wanted, found] = isSteps(row)
        ? [
            row.ends.flatMap((end, index) =>
              row.labels[index] === null ? [] : [alone(row.response.slice(0, end))],
            ),
            "scores" in record ? record.scores : [],
          ]
        : [
            [alone(row.chosen), alone(row.rejected)],
            "chosen" in record ? [record.chosen, record.rejected] : [],
          ];
      expect(found.length).toBe(wanted.length);
      for (const [index, score] of found.entries()) expect(score).toBeCloseTo(wanted[index] ?? Number.NaN, 5);
    }
  }));

describe("training", () => {
  /** Trains heads alone on rows, and says what the model then scores them. */
  const fit = (
    model: RewardModel,
    rows: readonly RewardRow[],
    options: Partial<RewardTaskOptions> = {},
  ): Promise<{ scores: number[][]; last: Record<string, number> }> =>
    withFolder(async (folder) => {
      const task = rewardsTask(model, { rows, steps: 60, ...options });
      const settings = trainOptions({ train: "heads", learningRate: 0.03, schedule: "cosine" });
      const trained = setTrainable(model, settings.train, model.rewards.parameters(), 1);
      const last = await train(model, task, settings, trained, { folder, seed: 1 });
      const taskRows = rowsOf(task);
      const values = forwardWithoutGrad(model, taskRows, {
        maxTokensPerMicrobatch: 1000,
        headOf: task.headOf,
      });
      const scores = taskRows.map((row, i) =>
        (values[i] ?? []).flatMap((own) => model.rewards.get(row.objective).scores(own)),
      );
      return { scores, last };
    });
  const rowsOf = (task: ReturnType<typeof rewardsTask>) => task.rows(0);
  const labelled = REWARD_ROWS.filter((row) => row.objective === "clarity" && isSteps(row));
  const relabelled = (objective: string, label: number): RewardRow[] =>
    labelled.flatMap((row) =>
      isSteps(row) ? [{ ...row, objective, labels: row.labels.map(() => label) }] : [],
    );

  test.each(["value", "soft", "hard"] as const)("a label of 0.7 trains a %s head to 0.7", (kind: string) =>
    over([{ name: "a", kind }], async (model) => {
      const { scores, last } = await fit(model, relabelled("a", 0.7), { steps: 200 });
      for (const score of scores.flat()) expect(Math.abs(score - 0.7)).toBeLessThan(0.02);
      expect(last["a/loss"]).toBe(last.loss);
    }),
  );

  test("fits steps of one response that differ, and pairs", () =>
    over(ALL_KINDS, async (model) => {
      const { scores, last } = await fit(model, REWARD_ROWS, { steps: 150 });
      const wanted = REWARD_ROWS.map((row) =>
        isSteps(row) ? row.labels.filter((label) => label !== null) : [],
      );
      for (const [i, own] of wanted.entries()) {
        for (const [index, label] of own.entries())
          expect(Math.abs((scores[i]?.[index] ?? 9) - label)).toBeLessThan(0.2);
      }
      for (const [chosen = 0, rejected = 9] of scores.slice(6)) expect(chosen).toBeGreaterThan(rejected);
      expect(last["helpful/accuracy"]).toBe(1);
    }));

  test("one head tells objectives apart by their names in the prompt", () =>
    over(
      [{ name: "unified", kind: "soft" }],
      async (model) => {
        const { scores } = await fit(model, [...relabelled("up", 0.9), ...relabelled("down", 0.2)], {
          steps: 150,
        });
        for (const score of scores[0] ?? []) expect(Math.abs(score - 0.9)).toBeLessThan(0.1);
        for (const score of scores[1] ?? []) expect(Math.abs(score - 0.2)).toBeLessThan(0.1);
      },
      { promptObjectives: ["up", "down"] },
    ));

  test("measures held-out rows, each objective's own", () =>
    over(ALL_KINDS, async (model) => {
      const { last } = await fit(model, REWARD_ROWS, { steps: 2, heldOut: REWARD_ROWS });
      expect(Object.keys(last)).toEqual(
        expect.arrayContaining([
          "eval_loss",
          "eval_accuracy/correlation",
          "eval_clarity/ece",
          "eval_engagement/auc",
          "eval_helpful/margin",
        ]),
      );
    }));
});

describe("a run", () => {
  const STEPS = 4;
  /** Trains over sittings of a step each, or in one go, and digests what came out. */
  const run = (
    settings: Parameters<typeof trainOptions>[0],
    sittings: boolean,
    promptObjectives?: readonly string[],
  ): Promise<{ metrics: string; weights: Map<string, Float32Array> }> =>
    withFolder(async (folder) => {
      const named = promptObjectives !== undefined;
      const heads: readonly HeadSpec[] = named ? [{ name: "unified", kind: "soft" }] : ALL_KINDS;
      const rows = REWARD_ROWS.filter(({ objective }) => !named || promptObjectives.includes(objective));
      for (;;) {
        const model = await tinyRewards("tiny-llama", heads, named ? { promptObjectives } : {});
        const options = trainOptions({ evaluateEvery: 2, ...settings });
        const trained = setTrainable(model, options.train, model.rewards.parameters(), 1);
        const stop = new AbortController();
        if (sittings) stop.abort();
        // Every step leaves out a row of an objective that has others, so that steps differ.
        const batch = (step: number): number[] =>
          rows.map((_, i) => i).filter((i) => rows.length - 1 - (step % 2) !== i);
        const task = rewardsTask(model, { rows, steps: STEPS, batch, heldOut: rows.slice(0, 3) });
        const context = { folder: join(folder, "run"), seed: 1, signal: stop.signal };
        const ended = await train(model, task, options, trained, context).then(
          () => true,
          (error: unknown) => {
            expect(error).toMatchObject({ code: "E_INTERRUPTED" });
            return false;
          },
        );
        const weights = new Map([
          ...rewardWeights(model),
          ...trained.map((one) => [one.name, one.float().toFloat32Array()] as const),
        ]);
        model.dispose();
        if (!ended) continue;
        return { metrics: readText(join(folder, "run", "metrics.jsonl")), weights };
      }
    });

  test.each([
    ["frozen", { train: "heads" }, undefined],
    ["with the last layer", { train: { lastLayers: 1 } }, undefined],
    ["with low-rank updates", { train: { lora: { rank: 2, alpha: 4 } } }, undefined],
    ["in full, unified by the prompt", { train: "full" }, ["clarity", "engagement"]],
  ] as const)("%s that is stopped after every step ends in the same bytes", async (_, settings, names) => {
    const whole = await run(settings, false, names);
    const broken = await run(settings, true, names);
    expect(broken.metrics).toBe(whole.metrics);
    expect(broken.weights).toEqual(whole.weights);
  });

  test("trains what it is told to and nothing else", async () => {
    const before = await over(ALL_KINDS, rewardWeights);
    const moved = async (settings: Parameters<typeof trainOptions>[0]): Promise<Set<string>> => {
      const { weights } = await run(settings, false);
      return new Set(
        [...before].flatMap(([name, old]) =>
          weights.get(name)?.every((x, i) => x === old[i]) ? [] : [name],
        ),
      );
    };
    const heads = [...before.keys()].filter((name) => name.startsWith("rewards."));
    const frozen = await moved({ train: "heads" });
    expect([...frozen].sort()).toEqual(heads.sort());
    const last = await moved({ train: { lastLayers: 1 } });
    expect([...last].some((name) => name.startsWith("model.layers.1"))).toBe(true);
    expect([...last].some((name) => /layers\.0|embed/.test(name))).toBe(false);
  });
});

describe("rows that cannot be learnt from are refused by place", () => {
  const [row] = REWARD_ROWS.filter(isSteps);
  const pairRow = REWARD_ROWS.find((one) => !isSteps(one));
  if (row === undefined || pairRow === undefined) throw new Error("rows of both sorts");
  const cases: [string, string, RewardRow, string, string][] = [
    ["fewer labels than steps", "value", { ...row, labels: [1] }, "E_REWARD_ROW", "1 labels for 3 steps"],
    [
      "a labelled step cut away",
      "value",
      { ...row, response: row.response.slice(0, 6) },
      "E_REWARD_ROW",
      "of 6",
    ],
    ["steps in disorder", "value", { ...row, ends: [4, 3, 8] }, "E_REWARD_ROW", "a step ends at token 3"],
    ["no label at all", "value", { ...row, labels: [null, null, null] }, "E_REWARD_ROW", "none of its steps"],
    ["a label above 1", "soft", row, "E_REWARD_LABEL", "label 1.2 is not a number in [0, 1]"],
    ["a label that is no number", "value", { ...row, labels: [1, Number.NaN, 0] }, "E_REWARD_LABEL", "NaN"],
    ["steps for a Bradley-Terry head", "bradley-terry", row, "E_REWARD_ROW", "learns from pairs"],
    [
      "a pair for a value head",
      "value",
      { ...pairRow, objective: "accuracy" },
      "E_REWARD_ROW",
      "not from pairs",
    ],
  ];
  test.each(cases)("%s", (_, kind, bad, code, says) =>
    over([{ name: "accuracy", kind }], (model) => {
      expect(() => rewardsTask(model, { rows: [bad] })).toThrow(
        expect.objectContaining({ code, message: expect.stringContaining(says) }),
      );
      expect(() => rewardsTask(model, { rows: [bad] })).toThrow(`${bad.origin.file}:${bad.origin.line}`);
    }),
  );

  test("an objective that the model does not score, a weight of 0, and a step without an objective", () =>
    over(
      [
        { name: "accuracy", kind: "value" },
        { name: "clarity", kind: "soft" },
      ],
      (model) => {
        expect(() => rewardsTask(model, { rows: REWARD_ROWS })).toThrow(
          expect.objectContaining({ code: "E_REWARD_OBJECTIVE" }),
        );
        const rows = REWARD_ROWS.slice(0, 3);
        expect(() => rewardsTask(model, { rows, weights: { clarity: 0 } })).toThrow(
          expect.objectContaining({ code: "E_OBJECTIVE_WEIGHT" }),
        );
        expect(() => rewardsTask(model, { rows, batch: () => [0, 1] }).rows(0)).toThrow(
          expect.objectContaining({ code: "E_BATCH_OBJECTIVE_MISSING" }),
        );
      },
    ));
});
