/** An invented run for tests of the report: no number here was measured. */
import { rng } from "../../../core/random.ts";
import { normal } from "../../../core/testing/normal.ts";
import type { MetricsRow } from "../../../train/metrics.ts";
import { wilson } from "../../intervals.ts";
import { formatMix, mixGrid } from "../../mixes.ts";
import { pairAccuracy } from "../../pair-accuracy.ts";
import { type Results, resultsVersion, type SweepPoint } from "../../results.ts";
import type { StageMetrics } from "../page.ts";

/** Text that would run or break the page where it was not escaped. */
export const hostile = `<script>alert("x")</script><img src=x onerror='fetch("https://example.com/")'> & \u0007 ${"long".repeat(60)}`;

const objectives = ["accuracy", "engagement"];

const point = (accuracy: number, label: string): SweepPoint => ({
  label,
  results: {
    accuracy: wilson(Math.round(6 + 66 * accuracy), 120),
    engagement: wilson(Math.round(110 - 104 * accuracy ** 1.5), 120),
  },
});

/** Results with a sweep of five mixes, a baseline, a matrix and samples; some texts are hostile. */
export const inventedResults = (): Results => {
  const points = [
    ...mixGrid(objectives, 5).map((mix) => ({ ...point(mix.accuracy ?? 0, formatMix(mix)), mix })),
    point(0.6, "sft"),
    point(0.1, "base"),
  ];
  const replies = points.map(({ label, mix }) => ({
    label,
    response:
      (mix?.accuracy ?? 0) > 0.4
        ? "12 + 7 = 19\n\nThe answer is 19."
        : "We are looking for a total, so adding helps.\n\nWhat is 12 + 7?",
    verdicts: {
      accuracy:
        (mix?.accuracy ?? 0) > 0.4
          ? { score: 1, reason: "19 is right (the answer is)" }
          : { score: 0, reason: "states no final answer; right is 19" },
      engagement:
        (mix?.accuracy ?? 0) > 0.4
          ? { score: 0, reason: "does not invite the reader on" }
          : { score: 1, reason: 'invites on: "What is 12 + 7?"' },
    },
  }));
  const margins = (share: number) => Array.from({ length: 200 }, (_, index) => share * 200 - index - 0.5);
  return {
    format: "mahalo-results",
    version: resultsVersion,
    name: "invented",
    description: "An invented run. Its numbers were made up to test the report.",
    finished: "2026-01-02T03:04:05Z",
    mahalo: "0.1.0",
    model: "smollm2-135m-instruct",
    seed: 0,
    recipe: `name: invented\nmodel: smollm2-135m-instruct\n# ${hostile}\n`,
    stages: [
      { name: "data", seconds: 3.2 },
      { name: "sft", seconds: 171 },
      { name: "align", seconds: 205 },
      { name: "evaluate", seconds: 96 },
    ],
    machine: {
      processor: "an invented processor, 2 cores",
      memory: "16 GB",
      libtorch: "2.15.0",
      precision: "bf16",
    },
    objectives: [
      { name: "accuracy", description: "The final answer is right.", judge: "sum" },
      { name: "engagement", description: "The reply invites the student on.", judge: "rule" },
    ],
    sweep: {
      prompts: 120,
      decoding: { temperature: 0, maxNewTokens: 64 },
      points,
      steering: [
        {
          objective: "accuracy",
          ownEnd: "accuracy=1,engagement=0",
          otherEnd: "accuracy=0,engagement=1",
          difference: { mean: 0.55, low: 0.46, high: 0.64, n: 120, method: "bootstrap" },
          apart: true,
        },
        {
          objective: "engagement",
          ownEnd: "accuracy=0,engagement=1",
          otherEnd: "accuracy=1,engagement=0",
          difference: { mean: 0.867, low: 0.8, high: 0.92, n: 120, method: "bootstrap" },
          apart: true,
        },
      ],
      scale: {
        objectives: ["accuracy", "engagement"],
        points: [
          { weight: 0, position: 0, low: -0.08, high: 0.07 },
          { weight: 0.25, position: 0.2, low: 0.11, high: 0.3 },
          { weight: 0.5, position: 0.45, low: 0.36, high: 0.55 },
          { weight: 0.75, position: 0.73, low: 0.65, high: 0.82 },
          { weight: 1, position: 1, low: 0.96, high: 1.03 },
        ],
      },
      control: [
        {
          objective: "accuracy",
          tau: 1,
          largestGap: 0.4,
          miscalibration: 0.08,
          sideEffects: {
            engagement: { mean: -0.25, low: -0.35, high: -0.15, n: 120, method: "bootstrap" },
          },
        },
        { objective: "engagement", tau: 0.95, largestGap: 1, miscalibration: 0.2, sideEffects: {} },
      ],
      samples: [
        {
          prompt: [
            {
              role: "user",
              content: "Mia has 12 apples. She gets 7 more. How many apples does Mia have now?",
            },
          ],
          reference: "19",
          replies: replies.map((reply, index) => ({
            ...reply,
            // One answer without scores, as of a reply that was empty.
            ...(index === 0
              ? {}
              : {
                  steps: {
                    accuracy: [
                      { text: "12 + 7 = 19\n", score: 0.75 },
                      { text: hostile, score: 0.25 },
                    ],
                    engagement: [{ text: "12 + 7 = 19 and so on", score: -1.5 }],
                  },
                }),
          })),
        },
        {
          prompt: [
            { role: "system", content: "You are a tutor." },
            { role: "user", content: hostile },
          ],
          replies: replies.map((reply) => ({ ...reply, response: hostile })),
        },
      ],
    },
    pairAccuracy: pairAccuracy(
      [
        { head: "accuracy", objective: "accuracy", margins: margins(0.86) },
        { head: "accuracy", objective: "engagement", margins: margins(0.31) },
        { head: "engagement", objective: "accuracy", margins: margins(0.44) },
        { head: "engagement", objective: "engagement", margins: margins(0.97) },
        { head: "sft", objective: "accuracy", margins: margins(0.61) },
        { head: "sft", objective: "engagement", margins: margins(0.55) },
      ],
      "sft",
    ),
    rewardModels: {
      accuracy: { loss: 0.2, "accuracy/loss": 0.2, "accuracy/auc": 0.87, "accuracy/accuracy": 0.8 },
    },
    bestOf: [
      {
        objective: "accuracy",
        model: "accuracy",
        prompts: 40,
        samples: 8,
        one: { ...wilson(12, 40), method: "bootstrap" },
        any: wilson(30, 40),
        votes: wilson(16, 40),
        weightedVotes: wilson(18, 40),
        byModel: { last: wilson(20, 40), min: wilson(19, 40), product: wilson(19, 40), mean: wilson(17, 40) },
        gain: { mean: 0.2, low: 0.08, high: 0.31, n: 40, method: "bootstrap" },
        overVotes: { mean: 0.1, low: -0.03, high: 0.22, n: 40, method: "bootstrap" },
        stepAuc: { mean: 0.81, low: 0.75, high: 0.86, n: 40, method: "bootstrap" },
        promptAuc: { mean: 0.7, low: 0.61, high: 0.79, n: 31, method: "bootstrap" },
      },
    ],
  };
};

/** Cosines of an invented pair's gradients, over all weights and by layer: apart in late layers, and later in training. */
export const inventedCosines = (pair: string, progress: number, noise: number): Record<string, number> => {
  const all = 0.25 - 0.5 * progress + noise;
  const layers = Array.from({ length: 30 }, (_, layer) => [
    `conflict/${pair}/layer_${String(layer).padStart(2, "0")}`,
    all + 0.2 - 0.4 * (layer / 29) ** 2,
  ]);
  return { [`conflict/${pair}`]: all, ...Object.fromEntries(layers), [`conflict/${pair}/rest`]: all + 0.1 };
};

/** Metrics of an invented fine-tuning and an invented alignment that measured its conflicts. */
export const inventedMetrics = (): StageMetrics => {
  const random = rng(0, "invented-metrics");
  const steps = (count: number, row: (progress: number) => Record<string, number>): MetricsRow[] =>
    Array.from({ length: count }, (_, index) => ({ step: index + 1, ...row((index + 1) / count) }));
  const noise = (size: number): number => size * normal(random);
  const objectiveMetrics = (name: string, speed: number, progress: number): Record<string, number> => ({
    [`${name}/loss`]: Math.LN2 * Math.exp(-speed * progress) + Math.abs(noise(0.02)),
    [`${name}/rewards/margins`]: 3 * speed * progress + noise(0.2),
    [`${name}/rewards/accuracies`]: Math.min(
      1,
      0.5 + 0.5 * (1 - Math.exp(-2 * speed * progress)) + noise(0.03),
    ),
  });
  return {
    sft: steps(75, (progress) => ({
      loss: 0.4 + 2 * Math.exp(-5 * progress) + noise(0.06),
      ...(Math.round(progress * 75) % 25 === 0 ? { eval_loss: 0.45 + 2 * Math.exp(-5 * progress) } : {}),
    })),
    align: steps(120, (progress) => ({
      loss: 0.5,
      ...objectiveMetrics("accuracy", 0.8, progress),
      ...objectiveMetrics("engagement", 2, progress),
      ...(Math.round(progress * 120) % 5 === 1
        ? inventedCosines("accuracy~engagement", progress, noise(0.1))
        : {}),
    })),
  };
};
